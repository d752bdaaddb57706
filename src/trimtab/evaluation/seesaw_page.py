"""The page of ``trimtab seesaw``: self-contained HTML, from plain numbers.

Words and looks are in ``seesaw.html.j2``; here numbers become sentences, charts and shades.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, Template
from markupsafe import Markup

from trimtab import atomic
from trimtab.evaluation.charts import Axis, element, finite, spelled
from trimtab.evaluation.seesaw import (
    CHOSEN_HERE,
    ONE_SEED,
    SIDES,
    meaning,
    no_advice,
    sentence,
)

Found = Mapping[str, Any]

METRICS = {"auc": "AUC", "xauc": "XAUC", "utility": "utility"}
_LETTERS = 16
_STEP = 44.0


def render(found: Found) -> str:
    """Return the page for what ``trimtab seesaw`` found; every name in it is escaped."""
    return _template().render(_view(found))


def write(found: Found, path: Path) -> None:
    """Write the page at once: readers see the old page or the new one, never a half."""
    atomic.write(path, render(found))


@cache
def _template() -> Template:
    source = resources.files("trimtab.evaluation").joinpath("seesaw.html.j2").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, undefined=ChainableUndefined)
    page.filters |= {"number": number, "signed": signed, "chance": chance, "count": count}
    return page.from_string(source)


def number(value: object, digits: int = 4) -> str:
    """Write a number; a dash where it is undefined."""
    return _written(value, lambda known: spelled(known, f".{digits}f"))


def signed(value: object, digits: int = 4) -> str:
    """Write a difference with its sign."""
    return _written(value, lambda known: spelled(known, f"+.{digits}f"))


def chance(value: object) -> str:
    """Write a p-value."""
    return _written(value, lambda known: "< .001" if known < 0.001 else f"{known:.3f}")


def count(value: object) -> str:
    """Write a whole number with commas."""
    return _written(value, lambda known: f"{known:,.0f}")


def _written(value: object, spell: Callable[[float], str]) -> str:
    known = finite(value) if isinstance(value, int | float) else None
    return "\u2013" if known is None else spell(known)


def _view(found: Found) -> dict[str, Any]:
    """Return what the template shows: what was found, and what is derived from it."""
    targets, why = found["targets"], found.get("why") or {}
    scenes = [
        {"name": name, **scene, "chart": differences_chart(scene["targets"], f"scene {name}")}
        for name, scene in (found.get("scenes") or {}).items()
    ]
    return {
        **found, "sides": SIDES, "metrics": METRICS, "meaning": meaning(found),
        "one_seed": ONE_SEED, "chosen_here": CHOSEN_HERE, "no_advice": no_advice(found),
        "chart": differences_chart(targets, "all rows"), "scenes": scenes,
        "lead": sentence(targets), "used": {one["metric"] for one in targets.values()},
        "gates": _gates(why.get("experts") or {}),
        "cosines": [
            {"part": part, "cells": _shaded(angles["cosine"])}
            for part, angles in (why.get("gradients") or {}).items()
        ],
        "affinity": _shaded(why.get("affinity") or {}),
        "labels": _shaded(why.get("labels") or {}),
    }  # fmt: skip


def _gates(experts: Found) -> list[dict[str, Any]]:
    """Put the gates of each part beside all experts that any of them sees."""
    return [
        {"part": part, "seen": list(dict.fromkeys(e for g in gates.values() for e in g["weights"])),
         "gates": gates}
        for part, gates in (experts.get("gates") or {}).items()
    ]  # fmt: skip


def _shaded(table: Found) -> dict[str, dict[str, dict[str, Any]]]:
    """Give each number of a table the strength of its shade, in percent, and its side."""
    return {
        row: {
            column: {
                "value": value,
                "shade": min(round(60 * abs(value or 0.0)), 60),
                "side": "down" if (value or 0.0) < 0 else "up",
            }
            for column, value in cells.items()
        }
        for row, cells in table.items()
    }


def differences_chart(targets: Found, where: str) -> Markup:
    """Draw each target's difference with its interval against the line where there is none.

    The ends of a row say which side it is on in words, so that colour is not needed.
    """
    rows = {name: one for name, one in targets.items() if finite(one["difference"]) is not None}
    width, top = 760.0, 26.0
    bottom = top + _STEP * max(len(targets), 1)
    reach = [0.0]
    for one in rows.values():
        ends = (one["difference"], *one["interval"])
        reach += [end for end in map(finite, ends) if end is not None]
    axis = Axis.over(reach, start=150.0, end=width - 150.0, count=7)
    parts = _frame(axis, top, bottom)
    for place, (name, one) in enumerate(targets.items()):
        parts.append(_row(name, one, axis, top + _STEP * (place + 0.5)))
    title = f"Shared minus single, {where}"
    box = f"0 0 {width:g} {bottom + 42:g}"
    return element(
        "svg", element("title", title), *parts, viewBox=box, role="img", class_="chart differences"
    )


def _frame(axis: Axis, top: float, bottom: float) -> list[Markup]:
    """Draw the grid, the line of no difference and what lies on either side of it."""
    parts = []
    for tick, label in zip(axis.ticks, axis.labels(), strict=True):
        x = axis(tick)
        style = "zero" if tick == 0 else "grid"
        parts.append(element("line", x1=x, y1=top, x2=x, y2=bottom, class_=style))
        shown = label if tick <= 0 else f"+{label}"
        parts.append(_text(x, bottom + 17, shown, "tick", "middle"))
    zero = axis(0.0)
    parts.append(_text(zero - 10, top - 9, "single is better", "hint", "end"))
    parts.append(_text(zero + 10, top - 9, "shared is better", "hint"))
    middle = (axis.start + axis.end) / 2
    parts.append(_text(middle, bottom + 36, "shared minus single", "label", "middle"))
    return parts


def _row(name: str, one: Found, axis: Axis, y: float) -> Markup:
    """Draw one target: its name, both values, and the interval between."""
    side = SIDES[one["direction"]]
    short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "\u2026"
    parts = [element("text", element("title", name), short, x=0.0, y=y - 2, class_="name")]
    values = f"{number(one['single'])} \u2192 {number(one['shared'])}"
    parts.append(_text(0.0, y + 13, METRICS[one["metric"]], "hint"))
    parts.append(_text(760.0, y - 2, f"{signed(one['difference'])}  {side}", "verdict", "end"))
    parts.append(_text(760.0, y + 13, values, "hint", "end"))
    value, low, high = map(finite, (one["difference"], *one["interval"]))
    if value is None:
        parts.append(_text(axis(0.0) + 10, y + 4, "undefined on these rows", "hint"))
        return element("g", *parts, class_=side)
    says = f"{name}: {signed(value)}"
    if low is not None and high is not None:
        says += f" ({signed(low)} to {signed(high)})"
        parts.append(element("line", x1=axis(low), y1=y, x2=axis(high), y2=y, class_="whisker"))
    each = [seed for seed in map(finite, one["seeds_differences"]) if seed is not None]
    marks = each if len(each) > 1 else []
    parts += [element("circle", cx=axis(x), cy=y + 9, r=2.0, class_="seed") for x in marks]
    dot = element("circle", element("title", says), cx=axis(value), cy=y, r=5.5, class_="dot")
    return element("g", *parts, dot, class_=side)


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> Markup:
    return element("text", text, x=x, y=y, class_=style, text_anchor=anchor)
