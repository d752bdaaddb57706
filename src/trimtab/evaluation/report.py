"""The report of a run: one self-contained HTML page, from plain numbers.

Words and looks are in ``report.html.j2`` and drawing is in ``charts``; here numbers become text,
series and sentences. One that is ``None``, NaN or infinite is undefined, and shown as an en dash.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FunctionLoader, Template
from markupsafe import Markup

from trimtab import atomic
from trimtab.evaluation import charts, importance_chart, reliability

FEW = 30
"""With fewer positives than this, a ranking metric says little and is greyed."""

Fields = Mapping[str, Any]

_UNKNOWN = "Not recorded."
_HEADLINES = {"utility": "utility", "xauc": "XAUC", "auc": "AUC"}
_COLUMNS = (
    "rows", "positives", "utility", "utility_within_user", "auc", "auc_given", "gauc", "xauc",
    "xauc_given", "xgauc", "mae", "rmse", "logloss", "normalised_entropy", "pcoc", "ece",
    "mean_gain",
)  # fmt: skip
_SEVERITIES = ("problem", "warning", "note")
_POINTS = 200
_FOLDER = resources.files("trimtab.evaluation")
_NAMED = 6


def render(report: Fields) -> str:
    """Return the page for `report`; every name in it is escaped."""
    return _template().render(_view(report))


@cache
def _template() -> Template:
    part = FunctionLoader(lambda name: _FOLDER.joinpath(name).read_text("utf-8"))
    page = Environment(autoescape=True, trim_blocks=True, undefined=ChainableUndefined, loader=part)
    for written in (count, fixed, headline, percent, plain, significant):
        page.filters[written.__name__] = written
    return page.get_template("report.html.j2")


def write(report: Fields, path: str | os.PathLike[str]) -> None:
    """Write the page at `path` at once: readers see the old page or the new one, never a half."""
    atomic.write(Path(path), render(report))


def count(value: object, why: str = _UNKNOWN) -> str:
    """Write a whole number with commas."""
    return _written(value, why, lambda number: f"{number:,.0f}")


def fixed(value: object, why: str = _UNKNOWN, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals."""
    return _written(value, why, lambda number: f"{number:,.{digits}f}")


def plain(value: object, why: str = _UNKNOWN) -> str:
    """Write a setting as one would: without trailing zeros."""
    return _written(value, why, lambda number: f"{number:,.6g}")


def significant(value: object, why: str = _UNKNOWN, unit: str = "") -> str:
    """Write a number with its unit and three significant digits, but all digits of a whole one."""

    def spell(number: float) -> str:
        size = math.floor(math.log10(abs(number))) if number else 0
        text = f"{number:,.{max(0, 2 - size)}f}" if size > -5 else f"{number:.2e}"
        return f"{text}\u00a0{unit}" if unit else text

    return _written(value, why, spell)


def percent(value: object, why: str = _UNKNOWN) -> str:
    """Write a share as a percentage, a small one with two decimals."""

    def spell(number: float) -> str:
        digits = f"{100 * number:.{2 if 0 < number < 0.01 else 1}f}"
        return f"{'< 0.01' if digits == '0.00' else digits}\u00a0%"

    return _written(value, why, spell)


def _written(value: object, why: str, spell: Callable[[float], str]) -> str:
    number = charts.number(value)
    if number is None:
        return Markup('<span class="none" title="{}">\u2013</span>').format(why)
    return spell(number).replace("-", "\u2212")


def headline(metrics: Fields | None) -> dict[str, Any]:
    """Return a target's main ranking metric, its interval, and whether to rely on it."""
    known: Fields = metrics or {}
    key = next((key for key in _HEADLINES if key in known), "auc")
    value = charts.number(known.get(key))
    low, high = map(charts.number, known.get(f"{key}_interval") or (None, None))
    rows, positives = charts.number(known.get("rows")), charts.number(known.get("positives"))
    support = rows if positives is None else positives
    return {
        "key": key, "label": _HEADLINES[key], "value": value, "low": low, "high": high,
        "rows": rows, "positives": positives, "absent": not known,
        "faint": value is None or (support is not None and support < FEW),
    }  # fmt: skip


def _view(report: Fields) -> dict[str, Any]:
    """Return what the template shows: the report itself, and what is derived from it."""
    metrics: Fields = report.get("metrics") or {}
    targets: Fields = metrics.get("targets") or {}
    scenes: Fields = metrics.get("scenes") or {}
    curves = report.get("curves") or []
    units = {t["name"]: t.get("unit") for t in (report.get("data") or {}).get("targets") or ()}
    slots = {name: slot for slot, name in enumerate(dict.fromkeys([*units, *targets]))}
    findings = report.get("findings") or []
    order = {severity: rank for rank, severity in enumerate(_SEVERITIES)}
    return {
        **report, "slots": slots, "units": units, "few": FEW, "colours": charts.COLOURS,
        "metrics": metrics, "targets": targets, "scenes": scenes, "curves": curves,
        "used": {key for found in targets.values() for key in found},
        "summary": _summary(report, targets),
        "training_charts": _training_charts(curves, targets, slots),
        "forest": _forest(targets, scenes, slots) if scenes else [],
        "groups": _groups(targets),
        "reliability": reliability.plots(report.get("reliability") or {}, targets, slots),
        "importance": importance_chart.view(report.get("importance") or {}, slots),
        "findings": sorted(findings, key=lambda finding: order.get(finding["severity"], 3)),
        "tally": _tally(findings),
    }  # fmt: skip


def _tally(findings: Sequence[Fields]) -> str:
    """Count findings in words: "1 problem and 2 warnings"."""
    numbers = [(sum(f["severity"] == kind for f in findings), kind) for kind in _SEVERITIES]
    return _listed([_many(number, kind) for number, kind in numbers if number])


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(parts: Sequence[str]) -> Markup:
    """Join parts as in a sentence: "a, b and c"."""
    if len(parts) < 2:
        return Markup("").join(parts)
    return Markup("{} and {}").format(Markup(", ").join(parts[:-1]), parts[-1])


def _summary(report: Fields, targets: Fields) -> list[Markup]:
    """Say in sentences what was trained and how well it orders and adds up."""
    data: Fields = report.get("data") or {}
    rows: Fields = data.get("rows") or {}
    days = [str(end)[:10] for end in (data.get("time") or {}).get("train") or ()]
    when = f" ({' to '.join(days)})" if days else ""
    counted = [(len(data.get(f"{noun}s") or ()), noun) for noun in ("feature", "target", "scene")]
    parts = [_many(number, noun) for number, noun in counted if number]
    text = Markup("Trained on <b>{} rows</b>{}{}{}.")
    joined = " with " if parts else ""
    trained = text.format(count(rows.get("train")), when, joined, _listed(parts))
    known = [_orders(n, main) for n, of in targets.items() if not (main := headline(of))["faint"]]
    shown = len(known) if len(known) <= _NAMED else _NAMED - 2
    named = [*known[:shown], *([f"{len(known) - shown} more"] if shown < len(known) else [])]
    valid = count((report.get("metrics") or {}).get("rows", rows.get("valid")))
    text = Markup("On the <b>{} held-out rows</b> it orders {}.")
    orders = [text.format(valid, _listed(named))] if known else []
    return [trained, *_went_on(data.get("start") or {}), *orders, *_adds_up(targets)]


def _went_on(start: Fields) -> list[Markup]:
    """Say what a run went on from, and how many ids are new in each table."""
    if not start:
        return []
    new = {name: rows for name, rows in start["new_ids"].items() if rows}
    told = [Markup("{} {}").format(name, count(rows)) for name, rows in new.items()]
    text = Markup("It went on from <em>{}</em>; {}.")
    return [
        text.format(
            start["run"], Markup("new ids: {}").format(_listed(told)) if told else "no id is new"
        )
    ]


def _orders(name: str, main: Fields) -> Markup:
    told = Markup("<em>{}</em> with {} <b>{:.3f}</b>").format(name, main["label"], main["value"])
    if main["low"] is None or main["high"] is None:
        return told
    return Markup("{} ({:.3f} to {:.3f})").format(told, main["low"], main["high"])


def _adds_up(targets: Fields) -> list[Markup]:
    """Say for which targets the predictions are, in total, far from what happened."""
    totals = {name: charts.number(found.get("pcoc")) for name, found in targets.items()}
    known = {name: total for name, total in totals.items() if total is not None}
    off = {name: total for name, total in known.items() if abs(total - 1) > 0.1}
    told = [Markup("<em>{}</em> ({:,.0f}\u00a0%)").format(n, 100 * t) for n, t in off.items()]
    if off and len(off) == len(known):
        text = "Predicted totals are more than 10\u00a0% off the observed ones: {}."
    elif off:
        text = "Predicted totals are within 10\u00a0% of the observed ones, except for {}."
    else:
        text = "Predicted totals are within 10\u00a0% of the observed ones."
    return [Markup(text).format(_listed(told))] if known else []


def _training_charts(curves: Sequence[Fields], targets: Fields, slots: Fields) -> dict[str, Any]:
    """Draw all losses on one chart, and the score and every ranking metric on their own."""
    every, last = max(1, math.ceil(len(curves) / _POINTS)), len(curves) - 1
    kept = [c for i, c in enumerate(curves) if i % every == 0 or i == last or c.get("best")]
    by = "epoch" if all(charts.number(c.get("epoch")) is not None for c in kept) else "step"
    xs = [charts.number(c.get(by)) for c in kept]
    best = next((x for x, c in zip(xs, kept, strict=True) if c.get("best")), None)

    def line(name: str, values: Iterable[object]) -> charts.Line:
        return charts.Line(
            name, xs, [charts.number(value) for value in values], slots.get(name, -1)
        )

    def draw(lines: Sequence[charts.Line], title: str, y: str, width: float = 420) -> Markup:
        size = (width, 270 if width == 420 else 200)
        return charts.line_chart(lines, title=title, x_label=by, y_label=y, mark=best, size=size)

    losses = [line(name, ((c.get("losses") or {}).get(name) for c in kept)) for name in slots]
    losses = [one for one in losses if one.points()]
    relative = len(losses) > 1 and all(y > 0 for one in losses for _, y in one.points())
    if relative:
        losses = [one._replace(y=[y and y / one.points()[0][1] for y in one.y]) for one in losses]
    score = line("", (c.get("score") for c in kept))._replace(name="score")
    weights = [line(name, ((c.get("weights") or {}).get(name) for c in kept)) for name in slots]
    weights = [one for one in weights if one.points()]
    moved = any(len({y for _, y in one.points()}) > 1 for one in weights)
    metrics = [line(name, ((c.get("metrics") or {}).get(name) for c in kept)) for name in slots]
    panels = []
    for name, one in zip(slots, metrics, strict=True):
        label = headline(targets.get(name))["label"]
        title = f"{label} of {name} on held-out rows"
        if one.points():
            panels.append(
                {"name": name, "slot": slots[name], "chart": draw([one], title, label, 330)}
            )
    return {
        "relative": relative, "panels": panels,
        "loss": draw(losses, "Training loss", f"loss{', first measurement = 1' * relative}"),
        "score": draw([score], "Score on held-out rows", "score") if score.points() else None,
        "weights": draw(weights, "Weights of the targets", "weight") if moved else None,
    }  # fmt: skip


def _forest(targets: Fields, scenes: Fields, slots: Fields) -> list[dict[str, Any]]:
    """Draw each target's ranking metric over all rows and by scene, on one common scale."""
    found = [("all rows", targets), *((n, of.get("targets") or {}) for n, of in scenes.items())]
    rows = {name: [(scene, headline(of.get(name))) for scene, of in found] for name in targets}
    mains = [main for row in rows.values() for _, main in row]
    sure = [main[end] for main in mains if not main["faint"] for end in ("low", "high")]
    reach = [n for n in [*sure, *(main["value"] for main in mains)] if n is not None]
    domain = (min(reach), max(reach)) if reach else None
    plots = []
    for name, row in rows.items():
        fields = ("value", "low", "high", "faint")
        lines = [charts.Interval(scene, *(main[f] for f in fields)) for scene, main in row]
        label, slot = row[0][1]["label"], slots[name]
        title = f"{label} of {name} by scene"
        chart = charts.interval_plot(lines, title=title, x_label=label, domain=domain, slot=slot)
        plots.append({"name": name, "slot": slot, "chart": chart})
    return plots


def _groups(targets: Fields) -> list[dict[str, Any]]:
    """Put targets of one kind in one table, with the columns that any of them has."""
    groups = []
    for kind in dict.fromkeys(str(found.get("kind") or "other") for found in targets.values()):
        rows = {
            name: found
            for name, found in targets.items()
            if str(found.get("kind") or "other") == kind
        }
        columns = [key for key in _COLUMNS if any(key in found for found in rows.values())]
        groups.append({"kind": kind, "rows": rows, "columns": columns})
    return groups
