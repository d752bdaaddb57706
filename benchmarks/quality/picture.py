"""The results as one picture a data set: a panel a metric, a line a model, a dot a seed.

A ring at the left edge stands for a model whose mean lies beyond it.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from markupsafe import Markup

from trimtab.evaluation.charts import Axis, element, spelled

from .report import SHOWN, Cell, Row

STEP, TOP, BOTTOM = 22.0, 44.0, 34.0
NAMES, PANEL, GAP = 196.0, 190.0, 22.0
PICTURED = ("auc", "xauc")

STYLE = """
svg { font: 12px system-ui, sans-serif; background: #fff; }
text { fill: #24292f; } .quiet { fill: #57606a; font-size: 11px; }
.grid { stroke: #d8dee4; } .mark { stroke: #8c959f; stroke-dasharray: 3 3; }
.theirs { fill: #8c959f; stroke: #8c959f; } .ours { fill: #0969da; stroke: #0969da; }
text, text.ours { stroke: none; } text.ours { font-weight: 600; }
circle.seed { opacity: .45; stroke: none; } circle.beyond { fill: none; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
  .grid { stroke: #30363d; } .theirs { fill: #7d8590; stroke: #7d8590; }
  .ours { fill: #4493f8; stroke: #4493f8; }
}
"""


def draw(dataset: str, rows: Sequence[Row], path: Path, *, against: str) -> None:
    """Write the picture; models stand in the order of their mean over the panels."""
    keys = [key for key in rows[0].cells if key[1] in PICTURED]
    order = sorted(rows, key=lambda row: -_rank(row, rows[0], keys))
    bottom = TOP + STEP * len(rows)
    width = NAMES + (PANEL + GAP) * len(keys)
    parts = [element("style", Markup(STYLE)), element("title", f"{dataset}: quality by model")]
    for i, row in enumerate(order):
        style = "ours" if row.system == against.partition("/")[0] else ""
        label = f"{row.system} {row.model.replace('_', ' ')}"
        parts.append(_text(NAMES - 14, TOP + STEP * (i + 0.5) + 4, label, style, "end"))
    for place, (target, metric) in enumerate(keys):
        start = NAMES + (PANEL + GAP) * place
        cells = [row.cells.get((target, metric)) for row in order]
        values = [v for cell in cells if cell for v in cell.values]
        low = max(min(values), 2 * median(values) - max(values))  # one bad model hides no other
        x = Axis.over([low, max(values)], start=start, end=start + PANEL - 44, count=3)
        parts.append(_text(start, TOP - 22, f"{target.replace('_', ' ')}, {SHOWN[metric]}"))
        parts += _grid(x, bottom, rows[0].cells[target, metric].mean)
        for i, (row, cell) in enumerate(zip(order, cells, strict=True)):
            style = "ours" if row.system == against.partition("/")[0] else "theirs"
            if cell:
                parts.append(element("g", *_cell(x, cell, TOP + STEP * (i + 0.5)), class_=style))
    size = f"0 0 {width:g} {bottom + BOTTOM:g}"
    picture = element(
        "svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=size, width=width, role="img"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(picture) + "\n", encoding="utf-8")
    print(f"{path}: drawn")


def _rank(row: Row, reference: Row, keys: Sequence[tuple[str, str]]) -> float:
    """Return the mean difference to the reference over the panels that a model has."""
    having = [key for key in keys if key in row.cells]
    return sum(row.cells[k].mean - reference.cells[k].mean for k in having) / len(having)


def _grid(x: Axis, bottom: float, reference: float) -> list[Markup]:
    parts = [element("line", x1=x(t), y1=TOP, x2=x(t), y2=bottom, class_="grid") for t in x.ticks]
    for tick, label in zip(x.ticks, x.labels(), strict=True):
        parts.append(_text(x(tick), bottom + 16, label, "quiet", "middle"))
    at = x(reference)
    return [*parts, element("line", x1=at, y1=TOP, x2=at, y2=bottom, class_="mark")]


def _cell(x: Axis, cell: Cell, y: float) -> list[Markup]:
    """Draw the seeds, their mean with one standard deviation either way, and the mean's value."""
    says = f"{cell.mean:.4f}, deviation {cell.deviation:.4f} over {len(cell.values)} seeds"
    ends = x(cell.mean - cell.deviation), x(cell.mean + cell.deviation)
    style = "mean" if cell.mean >= x.ticks[0] else "beyond"
    return [
        *(element("circle", cx=x(value), cy=y, r=2.0, class_="seed") for value in cell.values),
        element("line", x1=ends[0], y1=y, x2=ends[1], y2=y),
        element("circle", element("title", says), cx=x(cell.mean), cy=y, r=4.0, class_=style),
        _text(x.end + 8, y + 4, spelled(cell.mean, ".4f").removeprefix("0"), "quiet"),
    ]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> Markup:
    return element("text", text, x=x, y=y, class_=style, text_anchor=anchor)
