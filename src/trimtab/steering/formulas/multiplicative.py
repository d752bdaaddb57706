"""The formula ``multiplicative``: a product of shifted powers of predictions."""

from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat

from trimtab.errors import InputError
from trimtab.settings import Settings
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas.base import Formula, formulas


class Factor(Settings):
    """``(a + b p)^power`` of one prediction."""

    a: FiniteFloat = 1.0
    """Keeps the factor away from 0, so that no single prediction decides alone."""
    b: FiniteFloat = 1.0
    """How much a unit of the prediction adds."""
    power: FiniteFloat = 1.0
    """How much the factor counts; below 0 for what is not wanted."""


@formulas.register("multiplicative")
class Multiplicative(Formula):
    """``prod_k (a_k + b_k p_k)^power_k``, scored as the sum of logarithms, which orders alike.

    A behaviour that a user never shows changes little of that user's order, whatever its power.
    """

    kind: Literal["multiplicative"] = "multiplicative"
    terms: dict[str, Factor] = Field(min_length=1)
    """Prediction to its factor."""

    def targets(self) -> list[str]:
        """Return the predictions that have a factor."""
        return list(self.terms)

    def raw(self, candidates: Candidates) -> Floats:
        """Return the logarithm of the product.

        Raises
        ------
        InputError
            When a factor is not above 0.
        """
        total = np.zeros(len(candidates))
        for name, term in self.terms.items():
            factor = term.a + term.b * candidates.prediction(name)
            if (factor <= 0).any():
                row = int((factor <= 0).argmax())
                raise InputError(
                    f"terms.{name}: a + b p is {factor[row]:g} in row {row:,}; expected more than "
                    "0 for every candidate. Raise a."
                )
            total += term.power * np.log(factor)
        return total
