"""The formula ``expression``: one's own words, parsed and never run as code."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from trimtab.errors import InputError, nearest
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas.base import Formula, formulas
from trimtab.steering.formulas.grammar import SCENE, Tree, names_in, parse_expression


@formulas.register("expression")
class Expression(Formula):
    """An expression over predictions, such as ``click * long_view + 0.1 * log1p(play)``.

    Numbers, predictions by name, ``scene.NAME`` (1 in that scene, else 0), ``+ - * / ^``,
    comparisons, brackets, and the functions ``abs, clip, exp, if, log, log1p, max, min, sqrt``.
    """

    kind: Literal["expression"] = "expression"
    text: str = Field(min_length=1, max_length=2000)
    """The expression."""

    @model_validator(mode="after")
    def _parses(self) -> "Expression":
        try:
            parse_expression(self.text)
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    @cached_property
    def tree(self) -> Tree:
        """The expression, parsed."""
        return parse_expression(self.text)

    def targets(self) -> list[str]:
        """Return the predictions that the expression names."""
        return [name for name in names_in(self.tree) if not name.startswith(SCENE)]

    def problems(self, units: Mapping[str, str], scenes: tuple[str, ...]) -> list[str]:
        """Check targets and scenes."""
        named = [n.removeprefix(SCENE) for n in names_in(self.tree) if n.startswith(SCENE)]
        unknown = [scene for scene in named if scene not in scenes]
        found = super().problems(units, scenes)
        if not names_in(self.tree):
            found.append("the expression names no target, so every candidate would score the same")
        return found + [f"no scene named {s!r}. {nearest(s, scenes)}" for s in unknown]

    def raw(self, candidates: Candidates) -> Floats:
        """Evaluate the tree, all rows at once."""
        found = np.asarray(self._value(self.tree, candidates), dtype=np.float64)
        return np.broadcast_to(found, (len(candidates),)).copy()

    def _value(self, tree: Tree, candidates: Candidates) -> Floats:
        if tree.name is not None:
            return _named(tree.name, candidates)
        if tree.number is not None:
            return np.asarray(tree.number)
        parts = (self._value(part, candidates) for part in tree.parts)
        return np.asarray(DOES[tree.does](*parts), dtype=np.float64)


def _named(name: str, candidates: Candidates) -> Floats:
    if name.startswith(SCENE):
        scene = candidates.scenes.index(name.removeprefix(SCENE))
        return np.asarray(candidates.scene == scene, dtype=np.float64)
    return candidates.prediction(name)


DOES: dict[str, Callable[..., Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "negative": np.negative,
    "<": lambda a, b: np.less(a, b).astype(np.float64),
    "<=": lambda a, b: np.less_equal(a, b).astype(np.float64),
    ">": lambda a, b: np.greater(a, b).astype(np.float64),
    ">=": lambda a, b: np.greater_equal(a, b).astype(np.float64),
    "abs": np.abs,
    "clip": np.clip,
    "exp": np.exp,
    "if": lambda condition, yes, no: np.asarray(np.where(condition != 0, yes, no)),
    "log": np.log,
    "log1p": np.log1p,
    "max": np.maximum,
    "min": np.minimum,
    "sqrt": np.sqrt,
}
"""Operator or function to what computes it."""
