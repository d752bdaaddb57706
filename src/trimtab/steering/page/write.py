"""The page itself: what it holds, and the file.

Words are in ``page.html.j2``, looks in ``page.css``, and what moves in the ``.js`` files, which
are put into the page as they are; here candidates become the numbers that it starts from.
"""

import hashlib
import json
import os
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from trimtab import atomic
from trimtab.errors import InputError
from trimtab.evaluation.evaluate import finite
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Formula
from trimtab.steering.page.content import content
from trimtab.steering.page.terms import additive

_SCRIPTS = ("measures", "weights", "sliders", "results", "front", "lists", "start")


def write(
    candidates: Candidates,
    path: str | os.PathLike[str],
    *,
    title: str,
    formula: Formula,
    start: Formula | None = None,
    profiles: Mapping[str, Formula] | None = None,
    items: Sequence[str] | None = None,
) -> None:
    """Write the page at once: readers see the old page or the new one, never a half.

    Parameters
    ----------
    candidates
        Rows that the model did not learn from, with labels.
    title
        The run, as one would name it on the command line.
    formula
        The one in use now, which every other is compared with.
    start
        The one that the sliders start from; that of now when left out. Where the page cannot show
        that of now, this one stands for it.
    profiles
        Other formulas, to start from; those that are not additive are left out.
    items
        What each row is, in a few words.

    Raises
    ------
    InputError
        When the formula is not additive or does not fit the candidates, or when no row has labels.
    RunError
        When the file cannot be written.
    """
    text = render(
        candidates, title=title, formula=formula, start=start, profiles=profiles, items=items
    )
    atomic.write(Path(path), text)


def render(
    candidates: Candidates,
    *,
    title: str,
    formula: Formula,
    start: Formula | None = None,
    profiles: Mapping[str, Formula] | None = None,
    items: Sequence[str] | None = None,
) -> str:
    """Return the page as text; the same arguments give the same text."""
    asked = start or formula
    first = additive(asked)
    if first is None:
        raise InputError(
            f"the steering page moves weights of additive formulas; this one is {asked.kind!r}."
        )
    now = additive(formula) or first
    if items is not None and len(items) != len(candidates):
        raise InputError(f"items: {len(items):,} texts for {len(candidates):,} rows.")
    others = {name: additive(other) for name, other in (profiles or {}).items()}
    named = {name: other for name, other in others.items() if other is not None}
    for each in (now, first, *named.values()):
        each.require(candidates.units, candidates.scenes)
    data = content(candidates, now, first, named, items) | {"run": shlex.quote(title)}
    script = _script()
    return _template().render(
        data,
        title=title,
        name=Path(title).name or title,
        version=version("trimtab"),
        style=Markup(_text("page.css")),
        script=Markup(script),
        hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        embedded=_embedded(data),
        left_out=[name for name, other in others.items() if other is None],
        rows=len(candidates),
    )


def _embedded(data: Mapping[str, Any]) -> Markup:
    """Write JSON that nothing in a page can mistake for an end of the script around it."""
    text = json.dumps(finite(data), allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


@cache
def _script() -> str:
    return '"use strict";\n' + "\n".join(_text(f"{name}.js") for name in _SCRIPTS)


@cache
def _template() -> Template:
    page = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    return page.from_string(_text("page.html.j2"))


def _text(name: str) -> str:
    return resources.files("trimtab.steering.page").joinpath(name).read_text("utf-8")
