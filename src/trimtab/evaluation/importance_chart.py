"""What the report shows of what carries each target: bars a target, and tables by scene."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from trimtab.evaluation import charts
from trimtab.evaluation.charts import Axis, number, spelled

SHOWN = 12
"""Groups that are shown of each target: those that it loses most by."""

_METRICS = {"auc": "AUC", "xauc": "XAUC"}
_LETTERS = 24
_WIDTH, _STEP, _TOP = 420.0, 22.0, 8.0

Fields = Mapping[str, Any]


class Bar(NamedTuple):
    """What a target loses by one feature, or by several, with its interval."""

    label: str
    fall: float
    low: float | None = None
    high: float | None = None
    several: bool = False


def view(found: Fields, slots: Mapping[str, int]) -> dict[str, Any]:
    """Return what the template shows of what was measured; empty where nothing was."""
    if not found:
        return {}
    targets: Fields = found.get("targets") or {}
    groups: Sequence[Fields] = found.get("groups") or ()
    return {
        "rows": found.get("rows"),
        "repeats": found.get("repeats"),
        "alone": found.get("alone", True),
        "several": any(map(_several, groups)),
        "panels": [_panel(n, of, groups, slots.get(n, -1)) for n, of in targets.items()],
        "nothing": _nothing(groups),
    }


def bars(rows: Sequence[Bar], *, title: str, x_label: str, slot: int = 0) -> Markup:
    """Draw a bar and its interval a row, from 0; those of several features are pale."""
    bottom = _TOP + _STEP * len(rows)
    if not rows:
        return charts.svg(title, _WIDTH, 60.0, [])
    ends = [end for row in rows for end in (row.fall, row.low, row.high) if end is not None]
    left = 14 + 6.8 * max(len(_short(row.label)) for row in rows)
    x = Axis.over([0.0, *ends], start=left, end=_WIDTH - 54, count=8)
    every = math.ceil(len(x.ticks) / 5)
    parts = [charts.text((x.start + x.end) / 2, bottom + 32, x_label, "label", "middle")]
    for place, (tick, written) in enumerate(zip(x.ticks, x.labels(), strict=True)):
        parts.append(charts.rule(x(tick), _TOP, x(tick), bottom, "grid" if tick else "axis"))
        if (place - x.ticks.index(0.0)) % every == 0:
            parts.append(charts.text(x(tick), bottom + 16, written, anchor="middle"))
    drawn = [mark for i, row in enumerate(rows) for mark in _marks(row, x, _TOP + _STEP * i)]
    group = charts.element("g", *drawn, class_=charts.colour(slot))
    return charts.svg(title, _WIDTH, bottom + 38, [*parts, group])


def _marks(row: Bar, x: Axis, top: float) -> list[Markup]:
    """Draw one row: its name, bar, interval and number."""
    middle, (start, end) = top + _STEP / 2, sorted((x(0.0), x(row.fall)))
    says = f"{row.label}: {spelled(row.fall)}"
    if row.low is not None and row.high is not None:
        says += f" ({spelled(row.low)} to {spelled(row.high)})"
    title = charts.element("title", says)
    label = charts.element("title", row.label)
    marks = [
        charts.element("text", label, _short(row.label), x=0.0, y=middle + 3.8, class_="name"),
        charts.element(
            "rect",
            title,
            x=start,
            y=top + 5,
            width=max(end - start, 0.5),
            height=_STEP - 10,
            class_="bar several" if row.several else "bar",
        ),
        charts.text(_WIDTH, middle + 3.8, spelled(row.fall, ".4f"), "value", "end"),
    ]
    if row.low is not None and row.high is not None:
        marks.append(charts.rule(x(row.low), middle, x(row.high), middle, "whisker"))
    return marks


def _short(label: str) -> str:
    return label if len(label) <= _LETTERS else label[: _LETTERS - 1] + "\u2026"


def _panel(name: str, target: Fields, groups: Sequence[Fields], slot: int) -> dict[str, Any]:
    """Return a target's picture, and its table: the groups that it loses most by."""
    label = _METRICS.get(str(target.get("metric")), str(target.get("metric")))
    rows = [(group, (group.get("targets") or {}).get(name) or {}) for group in groups]
    known = [
        (group, of, fall) for group, of in rows if (fall := number(of.get("fall"))) is not None
    ]
    most = sorted(known, key=lambda row: -row[2])[:SHOWN]
    drawn = [
        Bar(_label(group), fall, *_interval(of), several=_several(group))
        for group, of, fall in most
    ]
    chart = bars(drawn, title=f"What carries {name}", x_label=f"{label} lost", slot=slot)
    table = [{"name": _label(group), "of": of} for group, of, _ in most]
    return {
        "name": name, "slot": slot, "label": label, "of": target, "chart": chart, "rows": table,
    }  # fmt: skip


def _interval(loss: Fields) -> tuple[float | None, float | None]:
    low, high = map(number, loss.get("interval") or (None, None))
    return low, high


def _several(group: Fields) -> bool:
    return len(group.get("features") or ()) > 1


def _label(group: Fields) -> str:
    """Name a group, with the number of its features."""
    count = f" ({len(group['features'])})" if _several(group) else ""
    return f"{group.get('name')}{count}"


def _nothing(groups: Sequence[Fields]) -> list[str]:
    """Name what carries nothing; of a group that does not, the group alone."""
    idle = [group for group in groups if group.get("carries_nothing")]
    held = {name for group in idle if _several(group) for name in group["features"]}
    return [_label(group) for group in idle if _several(group) or group.get("name") not in held]
