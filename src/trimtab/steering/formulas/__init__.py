"""Predictions of a row to its score; one file a form."""

from trimtab.steering.formulas.additive import Additive
from trimtab.steering.formulas.base import Formula, formulas
from trimtab.steering.formulas.expression import Expression
from trimtab.steering.formulas.multiplicative import Multiplicative
from trimtab.steering.formulas.rank import Rank

__all__ = ["Additive", "Expression", "Formula", "Multiplicative", "Rank", "formulas"]
