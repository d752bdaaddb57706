"""Charts of the run report, as inline SVG.

Colours are CSS classes (``s0`` to ``s7``, ``ink``, ``faint``): the page decides on light and dark.
Every text is escaped. A number that is ``None``, NaN or infinite is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

Span = tuple[float, float]

COLOURS = 8
_DOTTED_POINTS = 40
_LETTERS = 16


class Line(NamedTuple):
    """One series of a line chart; `slot` picks its colour, under 0 that of text."""

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    slot: int = 0

    def points(self) -> list[tuple[float, float]]:
        """Return what was measured, in order."""
        pairs = ((finite(x), finite(y)) for x, y in zip(self.x, self.y, strict=True))
        return [(x, y) for x, y in pairs if x is not None and y is not None]


class Interval(NamedTuple):
    """One line of an interval plot; `faint` draws it grey, for values not to be relied on."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    faint: bool = False


class Axis(NamedTuple):
    """A linear scale from values to pixels, with its ticks."""

    ticks: Sequence[float]
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], *, start: float, end: float, count: int = 5) -> Axis:
        """Make an axis whose ticks cover all `values`."""
        kept = list(values)
        return cls(nice_ticks(min(kept), max(kept), count), start, end)

    def __call__(self, value: float) -> float:
        """Return the pixel of `value`; what lies outside goes to the nearest end."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def labels(self) -> list[str]:
        """Write the ticks with as many decimals as their step needs."""
        step = self.ticks[1] - self.ticks[0]
        fits = (d for d in range(7) if math.isclose(round(step, d), step, rel_tol=1e-6))
        decimals = next(fits, None)
        form = ".4g" if decimals is None or step >= 1e9 else f",.{decimals}f"
        return [spelled(tick, form) for tick in self.ticks]


def finite(value: float | None) -> float | None:
    """Return `value` as a float, or ``None`` when it is missing, NaN or infinite."""
    return float(value) if value is not None and math.isfinite(value) else None


def number(value: object) -> float | None:
    """Return what a report holds as a float, or ``None`` where that is no finite number."""
    return finite(value) if isinstance(value, int | float) else None


def spelled(value: float, form: str = ".4g") -> str:
    """Write a number, with a true minus sign."""
    return format(value, form).replace("-", "\u2212")


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers, evenly spaced, that cover `low` and `high`.

    The step is 1, 2 or 5 times a power of ten (P. Heckbert, Graphics Gems, 1990).
    """
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-99):
        room = abs(low) * 0.05 if abs(low) > 1e-90 else 0.5
        low, high = low - room, high + room
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(nice for nice in (1, 2, 5, 10) if rough <= nice * power * (1 + 1e-9))
    digits = max(0, 2 - math.floor(math.log10(step)))
    whole = range(math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6) + 1)
    return [round(index * step, digits) + 0.0 for index in whole]


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Build one SVG element; plain strings among children and attributes are escaped."""
    written = Markup("")
    for key, value in attributes.items():
        shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
        written += Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), shown)
    if not children:
        return Markup("<{}{}/>").format(name, written)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, Markup("").join(children))


def text(x: float, y: float, written: str, style: str = "", anchor: str = "start") -> Markup:
    """Write a text."""
    return element("text", written, x=x, y=y, class_=style or "tick", text_anchor=anchor)


def rule(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """Draw a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=style)


def dot(x: float, y: float, says: str, radius: float = 2.4, style: str = "dot") -> Markup:
    """Draw a point that tells its numbers when one points at it."""
    return element("circle", element("title", says), cx=x, cy=y, r=radius, class_=style)


def svg(title: str, width: float, height: float, parts: Sequence[str]) -> Markup:
    """Put the parts of a chart into its picture."""
    box = f"0 0 {width:g} {height:g}"
    shown = parts or [text(width / 2, height / 2, "Nothing was measured", "label", "middle")]
    return element("svg", element("title", title), *shown, viewBox=box, role="img", class_="chart")


def _name(x: float, y: float, name: str) -> Markup:
    """Write a name, shortened, the whole of which shows when one points at it."""
    short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "\u2026"
    return element("text", element("title", name), short, x=x, y=y, class_="name")


def _x_axis(x: Axis, y: float, label: str) -> list[Markup]:
    parts = [rule(x.start, y, x.end, y, "axis")]
    for value, written in zip(x.ticks, x.labels(), strict=True):
        parts.append(rule(x(value), y, x(value), y + 4, "axis"))
        parts.append(text(x(value), y + 16, written, anchor="middle"))
    return [*parts, text((x.start + x.end) / 2, y + 32, label, "label", "middle")]


def frame(x: Axis, y: Axis, x_label: str, y_label: str) -> list[Markup]:
    """Draw the horizontal grid, the tick labels of both axes and what they measure."""
    parts = [text(0, y.end - 13, y_label, "label")]
    for value, label in zip(y.ticks, y.labels(), strict=True):
        parts.append(rule(x.start, y(value), x.end, y(value), "grid"))
        parts.append(text(x.start - 7, y(value) + 3.8, label, anchor="end"))
    return [*parts, *_x_axis(x, y.start, x_label)]


def _spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Move label positions apart, in order, and keep them between `low` and `high`."""
    gap = min(13.0, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = list(wanted)
    for rank, index in enumerate(order):
        placed[index] = max(placed[index], placed[order[rank - 1]] + gap if rank else low)
    for rank, index in enumerate(reversed(order)):
        placed[index] = min(placed[index], high - rank * gap)
    return placed


def _draw(line: Line, x: Axis, y: Axis, mark: float | None) -> Markup:
    """Draw one series: its path, and its points where they are few."""
    points = line.points()
    path = "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
    dots = []
    for a, b in points:
        if len(points) <= _DOTTED_POINTS or a == mark:
            style, radius = ("best", 4.2) if a == mark else ("dot", 2.0)
            says = f"{line.name}, {spelled(a)}: {spelled(b)}"
            dots.append(dot(x(a), y(b), says, radius, style))
    return element("g", element("path", d=path, class_="line"), *dots, class_=colour(line.slot))


def colour(slot: int) -> str:
    """Return the classes of a slot's colour."""
    return "ink" if slot < 0 else f"s{slot % COLOURS}" + (" again" if slot >= COLOURS else "")


def _names(lines: Sequence[Line], x: Axis, y: Axis) -> list[Markup]:
    """Write each series' name beside its last point: the legend, where the eye already is."""
    last = [line.points()[-1] for line in lines]
    places = _spread([y(point[1]) for point in last], y.end, y.start)
    parts = []
    for line, point, place in zip(lines, last, places, strict=True):
        lead = rule(x(point[0]) + 5, y(point[1]), x.end + 9, place, "lead")
        name = _name(x.end + 12, place + 3.8, line.name)
        parts.append(element("g", lead, name, class_=f"series {colour(line.slot)}"))
    return parts


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    mark: float | None = None,
    size: Span = (420, 270),
) -> Markup:
    """Draw series against one pair of axes, named at their right end when there are several.

    `mark` is the x of a vertical rule labelled "best", with a ring on each series there.
    """
    width, height = size
    drawn = [line for line in lines if line.points()]
    points = [point for line in drawn for point in line.points()]
    if not points:
        return svg(title, width, height, [])
    y = Axis.over((p[1] for p in points), start=height - 38, end=30)
    left = 12 + 6.4 * max(map(len, y.labels()))
    measured = (finite(value) for line in drawn for value in line.x)
    names = 7.0 * max(min(len(line.name), _LETTERS) for line in drawn)
    end = width - (14 if len(lines) == 1 else 16 + names)
    x = Axis.over((v for v in measured if v is not None), start=left, end=end)
    parts = frame(x, y, x_label, y_label)
    if mark is not None:
        offset, anchor = (-4, "end") if x(mark) > x.end - 30 else (4, "start")
        parts.append(rule(x(mark), y.start, x(mark), y.end - 4, "mark"))
        parts.append(text(x(mark) + offset, y.end - 1, "best", "marked", anchor))
    parts += [_draw(line, x, y, mark) for line in drawn]
    parts += _names(drawn, x, y) if len(lines) > 1 else []
    return svg(title, width, height, parts)


def _whisker(row: Interval, x: Axis, y: float) -> list[Markup]:
    """Draw one interval with its dot; an arrow head says that it goes on beyond the frame."""
    value, low, high = finite(row.value), finite(row.low), finite(row.high)
    if value is None:
        return [text(x.start, y + 3.8, "undefined", "hint")]
    parts, says = [], f"{row.label}: {spelled(value)}"
    if low is not None and high is not None:
        says += f" ({spelled(low)} to {spelled(high)})"
        parts.append(rule(x(low), y, x(high), y, "whisker"))
        for beyond, end, back in ((low < x.ticks[0], x.start, 4), (high > x.ticks[-1], x.end, -4)):
            arrow = f"M{end + back:.1f} {y - 3:.1f}l{-back} 3l{back} 3"
            parts += [element("path", d=arrow, class_="tip")] if beyond else []
    parts.append(dot(x(value), y, says, 3.6))
    parts.append(text(x.end + 42, y + 3.8, spelled(value, ".3f"), "value", "end"))
    return parts


def interval_plot(
    rows: Sequence[Interval], *, title: str, x_label: str, domain: Span | None = None, slot: int = 0
) -> Markup:
    """Draw a dot and an interval a row, the first as reference; `domain` makes plots comparable."""
    width, step, top = 340.0, 24.0, 10.0
    bottom = top + step * len(rows)
    known = (n for row in rows for n in map(finite, row[1:4]))
    reach = list(domain or (n for n in known if n is not None))
    if not reach or not rows:
        return svg(title, width, max(bottom, 60.0), [])
    left = 16 + 6.2 * max(min(len(row.label), _LETTERS) for row in rows)
    x = Axis.over(reach, start=left, end=width - 48, count=4)
    parts = [rule(x(tick), top, x(tick), bottom, "grid") for tick in x.ticks]
    parts += _x_axis(x, bottom, x_label)
    reference = finite(rows[0].value)
    if reference is not None:
        parts.append(rule(x(reference), top, x(reference), bottom, "mark"))
    for place, row in enumerate(rows):
        y = top + step * (place + 0.5)
        style = "faint" if row.faint else colour(slot)
        parts.append(element("g", _name(0, y + 3.8, row.label), *_whisker(row, x, y), class_=style))
    return svg(title, width, bottom + 38, parts)
