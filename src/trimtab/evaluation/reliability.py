"""Pictures of calibration: what was predicted, before and after it was calibrated, and came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from trimtab.evaluation import charts
from trimtab.evaluation.charts import Axis, finite, spelled

_SIZE = 270.0


class Bin(NamedTuple):
    """Rows with similar predictions: their mean prediction and what happened, with its range."""

    predicted: float | None
    observed: float | None
    rows: float | None = None
    low: float | None = None
    high: float | None = None

    def known(self) -> bool:
        """Say whether it can be drawn."""
        return finite(self.predicted) is not None and finite(self.observed) is not None


def plots(
    curves: Mapping[str, Any], targets: Mapping[str, Any], slots: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Draw each target's calibration; where it is a rate, with an interval a bin."""
    drawn = []
    for name, curve in curves.items():
        found = targets.get(name) or {}
        bins = _bins(curve, rate="logloss" in found)
        before = _bins(curve.get("before") or {}, rate=False)
        if [b[:2] for b in before] == [b[:2] for b in bins]:
            before = []
        title, unit, slot = f"Calibration of {name}", found.get("unit") or "", slots.get(name, -1)
        chart = plot(bins, before, title=title, unit=unit, slot=slot)
        drawn.append(
            {"name": name, "slot": slot, "chart": chart, "of": found, "changed": bool(before)}
        )
    return drawn


def plot(
    bins: Sequence[Bin],
    before: Sequence[Bin] = (),
    *,
    title: str,
    unit: str = "",
    slot: int = 0,
) -> Markup:
    """Draw what happened against what was predicted, a point a bin; the diagonal is ideal.

    A thin line goes through the bins ``before`` the predictions were calibrated.
    """
    points, earlier = ([b for b in some if b.known()] for some in (bins, before))
    if not points:
        return charts.svg(title, _SIZE, _SIZE, [])
    reach = [float(v or 0) for b in (*points, *earlier) for v in b[:2]]
    y = Axis.over([0.0, *reach], start=_SIZE - 38, end=30, count=4)
    x = Axis(y.ticks, 12 + 6.4 * max(map(len, y.labels())), _SIZE - 12)
    suffix = f" ({unit})" if unit else ""
    parts = charts.frame(x, y, f"predicted{suffix}", f"observed{suffix}")
    parts.append(charts.rule(x.start, y.start, x.end, y.end, "ideal"))
    parts.append(charts.text(x.start + 6, y.end + 14, "predicts too low", "hint"))
    parts.append(charts.text(x.end - 2, y.start - 7, "predicts too high", "hint", "end"))
    marks = [*_before(earlier, x, y), *(mark for b in points for mark in _marks(b, x, y))]
    group = charts.element("g", *marks, class_=charts.colour(slot))
    return charts.svg(title, _SIZE, _SIZE, [*parts, group])


def _before(bins: Sequence[Bin], x: Axis, y: Axis) -> list[Markup]:
    places = [f"{x(b.predicted or 0):.1f} {y(b.observed or 0):.1f}" for b in bins]
    return [charts.element("path", d="M" + "L".join(places), class_="before")] if places else []


def _marks(group: Bin, x: Axis, y: Axis) -> list[Markup]:
    """Draw one bin, and the range of what happened where there is one."""
    predicted, observed = group.predicted or 0.0, group.observed or 0.0
    low, high, count = finite(group.low), finite(group.high), finite(group.rows)
    rows = "" if count is None else f", {count:,.0f} rows"
    says = f"predicted {spelled(predicted)}, observed {spelled(observed)}{rows}"
    marks = [charts.dot(x(predicted), y(observed), says, 3.0)]
    if low is not None and high is not None:
        marks.insert(0, charts.rule(x(predicted), y(low), x(predicted), y(high), "whisker"))
    return marks


def _bins(curve: Mapping[str, Any], *, rate: bool) -> list[Bin]:
    columns = (curve.get(key) or () for key in ("predicted", "observed", "rows"))
    return [_bin([*map(charts.number, bin_)], rate=rate) for bin_ in zip(*columns, strict=True)]


def _bin(values: Sequence[float | None], *, rate: bool) -> Bin:
    """Make a bin; the interval of a rate is Wilson's (JASA 1927), at 95 %."""
    made = Bin(*values)
    _, observed, rows = values
    if not rate or observed is None or not rows or not 0 <= observed <= 1:
        return made
    part = 1.96**2 / rows
    middle = (observed + part / 2) / (1 + part)
    half = math.sqrt(part * (observed * (1 - observed) + part / 4)) / (1 + part)
    return made._replace(low=max(middle - half, 0.0), high=min(middle + half, 1.0))
