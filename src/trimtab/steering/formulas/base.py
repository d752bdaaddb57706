"""What every fusion formula is: data that says how predictions become one score."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from trimtab.errors import InputError, nearest
from trimtab.registry import Registry
from trimtab.settings import Settings, wrong
from trimtab.steering.candidates import Candidates, Floats

SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
"""Unit of time to its seconds."""


class Formula(Settings, ABC):
    """How predictions become one score, as JSON; never code.

    A target that the scene of a row does not have counts as 0 there.
    """

    kind: str

    @abstractmethod
    def targets(self) -> list[str]:
        """Return the predictions that the formula reads, in order of mention."""

    @abstractmethod
    def raw(self, candidates: Candidates) -> Floats:
        """Return the score of every row."""

    def gain(self, candidates: Candidates) -> Floats | None:
        """Return what each row was worth by what happened, NaN where that is not known.

        None for a formula that says nothing of outcomes, only of predictions.
        """
        return None

    def linear(self, units: Mapping[str, str]) -> dict[str, float] | None:
        """Return prediction to weight in its own unit, where the formula is just their sum."""
        return None

    def unwanted(self, candidates: Candidates, names: Sequence[str]) -> list[str]:
        """Return the predictions of which more, on every row alike, lowers the score on the whole.

        Asked of the formula itself, whatever its kind: each prediction is raised by a hundredth.
        """

        def total(predictions: Mapping[str, Floats]) -> float:
            with np.errstate(all="ignore"):
                return float(self.raw(replace(candidates, predictions=predictions)).sum())

        before, known = total(candidates.predictions), candidates.predictions
        more = {n: dict(known) | {n: known[n] * 1.01} for n in names if n in self.targets()}
        return [name for name, raised in more.items() if total(raised) < before]

    def problems(self, units: Mapping[str, str], scenes: tuple[str, ...]) -> list[str]:
        """Return what does not fit the targets of a run, a line a problem.

        Parameters
        ----------
        units
            Prediction to its unit, empty for probabilities.
        """
        return [
            f"no target named {name!r}. {nearest(name, units)}"
            for name in self.targets()
            if name not in units
        ]

    def score(self, candidates: Candidates) -> Floats:
        """Return the score of every row.

        Raises
        ------
        InputError
            When a score is not a finite number, with the row and its predictions.
        """
        with np.errstate(all="ignore"):
            found = self.raw(candidates)
        bad = ~np.isfinite(found)
        if bad.any():
            row = int(bad.argmax())
            values = {n: float(candidates.prediction(n)[row]) for n in self.targets()}
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            raise InputError(
                f"the formula gives {found[row]:g} in row {row:,} ({int(bad.sum()):,} such rows), "
                f"where {shown}. Expected a finite score for every candidate."
            )
        return found

    def require(self, units: Mapping[str, str], scenes: tuple[str, ...]) -> None:
        """Raise ``InputError`` with every problem where the formula does not fit a run."""
        problems = self.problems(units, scenes)
        if problems:
            raise InputError("\n".join(problems))


formulas: Registry[Formula] = Registry("formulas")


def parse(value: Any, where: str) -> Formula:
    """Read a formula from its JSON.

    Raises
    ------
    InputError
        With every problem, where it is and what was expected.
    """
    try:
        found: Formula = TypeAdapter(formulas.union()).validate_python(value)
    except ValidationError as error:
        lines = [
            ".".join([where, *map(str, problem["loc"])]) + f": {_wrong(problem)}"
            for problem in error.errors()
        ]
        raise InputError("\n".join(lines)) from None
    return found


def _wrong(problem: ErrorDetails) -> str:
    """Say what is wrong with a formula; of its kind, in the words of formulas."""
    example = 'such as {"kind": "additive", "weights": {"click": 1}}'
    match problem["type"]:
        case "union_tag_not_found":
            return f"kind is missing; expected one of {', '.join(formulas)}, {example}"
        case "union_tag_invalid":
            kind = problem["ctx"]["tag"]
            return f"no kind of formula named {kind!r}. {nearest(kind, formulas)}"
        case "model_attributes_type":
            return f"expected a formula, {example}; found {problem['input']!r}"
    return wrong(problem)
