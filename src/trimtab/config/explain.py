"""What is wrong with settings, a line a problem: the key, what was expected, what was found."""

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from trimtab.balancing import balancers
from trimtab.calibration import calibrators
from trimtab.config.schema import RunSettings
from trimtab.data.feature import features
from trimtab.errors import nearest
from trimtab.features.engines import engines
from trimtab.registry import Registry
from trimtab.settings import FORMS, wrong
from trimtab.targets import targets
from trimtab.trunks import trunks

Place = tuple[str | int, ...]

_KINDS: dict[str, Registry[Any]] = {
    "features": features,
    "targets": targets,
    "trunk": trunks,
    "balancing": balancers,
    "calibration": calibrators,
    "embedding": engines,
}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def explain(problems: Sequence[ErrorDetails], content: Mapping[str, Any]) -> list[str]:
    """Return a line a problem; where a key may be one of several things, they make one line.

    Parameters
    ----------
    content
        The settings as they were written, which tells keys from pydantic's own marks.
    """
    places = [_place(problem, content) for problem in problems]
    expected: dict[Place, list[str]] = {}
    for problem, place in zip(problems, places, strict=True):
        if problem["type"] in FORMS:
            expected.setdefault(place, []).append(wrong(problem).removeprefix("expected "))
    lines = []
    for problem, place in zip(problems, places, strict=True):
        if problem["type"] not in FORMS:
            lines += _other(problem, place)
        elif not any(place == other[: len(place)] != other for other in expected):
            forms = " or ".join(dict.fromkeys(expected[place]))
            lines.append(f"{_key(place)}: expected {forms}; found {_short(problem['input'])}.")
    return list(dict.fromkeys(lines))


def _other(problem: ErrorDetails, place: Place) -> list[str]:
    """Return the lines of a problem that is not one value in the wrong form."""
    where, kind, context = _key(place), problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return [f"{where}: unknown key. {_nearest_key(problem['loc'])}"]
    if kind.startswith("union_tag"):
        *others, last = [repr(kind) for kind in _KINDS[str(place[0])]]
        known = f"{', '.join(others)} or {last}" if others else last
        found = f"found {context['tag']!r}" if "tag" in context else "it is missing"
        return [f"{where}.kind: expected {known}; {found}."]
    lines = wrong(problem).split("\n")
    return [(f"{where}: " if where else "") + _sentence(line) for line in lines]


def _place(problem: ErrorDetails, content: Any) -> Place:
    """Return the keys that lead to a problem; what pydantic adds to them is not in the content."""
    place: Place = ()
    for part in problem["loc"]:
        inside = dict(enumerate(content)) if isinstance(content, list) else content
        if isinstance(inside, Mapping) and part in inside:
            content = inside[part]
            place += (part,)
    return (*place, problem["loc"][-1]) if problem["type"] == "missing" else place


def _key(place: Place) -> str:
    """Return a place as it is written in TOML, with the positions of lists in brackets."""
    key = ""
    for part in place:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += ("." if key else "") + (part if _BARE.fullmatch(part) else f'"{part}"')
    return key


def _sentence(line: str) -> str:
    return line if line.endswith((".", "?")) else line + "."


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:51].rstrip(" ,") + " and more"


def _nearest_key(loc: tuple[str | int, ...]) -> str:
    """Return a hint for an unknown key: a near one of its table, else the table it belongs in."""
    *parents, key = loc
    homes = [
        f"{table}.{key}"
        for table, field in RunSettings.model_fields.items()
        for model in _models(field.annotation)
        if not typing.get_args(field.annotation) and key in model.model_fields
    ]
    hint = nearest(str(key), _keys(parents))
    belongs = len(homes) == 1 and not hint.startswith("Did")
    return f"Did you mean {homes[0]!r}?" if belongs else hint


def _keys(loc: Iterable[str | int]) -> list[str]:
    """Return the keys of the table at a location."""
    found: list[type[BaseModel]] = [RunSettings]
    for part in loc:
        inside = [
            model
            for table in found
            if part in table.model_fields
            for model in _models(table.model_fields[str(part)].annotation)
        ]
        tagged = [m for m in found if getattr(m.model_fields.get("kind"), "default", None) == part]
        found = inside or tagged or found
    return sorted({key for table in found for key in table.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings classes inside a type."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models(part)]
