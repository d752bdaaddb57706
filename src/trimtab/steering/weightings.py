"""Weightings of some targets: drawn at random, varied, and written as a formula."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas import Additive, Formula
from trimtab.steering.formulas.additive import Weight
from trimtab.steering.formulas.base import SECONDS

_CONCENTRATION = 0.5
"""Of the Dirichlet distribution of shares: below 1, most draws lean on a few targets."""
_LEAST = 1e-4
"""The least share of the mean score that a target has, unless it has none."""


@dataclass(frozen=True, kw_only=True)
class Weightings:
    """Additive weightings of some targets, ``[any, targets]``, durations per minute.

    A target's *share* is what it adds to the mean score, ``w_k mean_k``, over the sum of all.

    Attributes
    ----------
    sign
        -1 for a target that is not wanted, else 1.
    mean
        Mean prediction, in the weight's unit.
    natural
        The weight a unit of the prediction that a weight of 1 stands for.
    """

    targets: tuple[str, ...]
    per: tuple[str | None, ...]
    sign: Floats
    mean: Floats
    natural: Floats

    @classmethod
    def of(
        cls, candidates: Candidates, targets: Sequence[str], current: Formula | None
    ) -> "Weightings":
        """Take units and means from the candidates, and signs from the current formula."""
        unwanted = current.unwanted(candidates, targets) if current else []
        units = [candidates.units[name] for name in targets]
        means = [float(np.abs(candidates.prediction(name)).mean()) for name in targets]
        natural = np.array([SECONDS[u] / SECONDS["min"] if u in SECONDS else 1.0 for u in units])
        return cls(
            targets=tuple(targets),
            per=tuple("min" if unit in SECONDS else None for unit in units),
            sign=np.array([-1.0 if name in unwanted else 1.0 for name in targets]),
            mean=np.array([mean or 1.0 for mean in means]) * natural,
            natural=natural,
        )

    def draw(self, random: np.random.Generator, count: int) -> Floats:
        """Draw shares from a Dirichlet distribution."""
        concentration = np.full(len(self.targets), _CONCENTRATION)
        return self.tidy(random.dirichlet(concentration, count))

    def corners(self) -> Floats:
        """Return every target alone."""
        return self.tidy(np.eye(len(self.targets)))

    def near(
        self, random: np.random.Generator, parents: Floats, count: int, *, spread: float
    ) -> Floats:
        """Return variants: shares between those of two parents, each times ``exp(N(0, spread))``.

        Half of them have one parent.
        """
        shares = self.shares(parents)
        first, second = shares[random.integers(len(shares), size=(2, count))]
        mixed = np.where(random.random(count) < 0.5, 0.0, random.random(count))[:, None]
        between = (1 - mixed) * first + mixed * second
        return self.tidy(between * np.exp(random.normal(0, spread, between.shape)))

    def shares(self, weights: Floats) -> Floats:
        """Return each target's share."""
        parts = np.abs(weights) * self.mean
        return np.asarray(parts / parts.sum(axis=1, keepdims=True))

    def tidy(self, shares: Floats) -> Floats:
        """Return the weights of shares: the first that is not 0 is 1, all of three digits."""
        shares = shares / shares.sum(axis=1, keepdims=True)
        weights = np.where(shares < _LEAST, 0, shares) / self.mean
        first = np.argmax(weights > 0, axis=1)[:, None]
        weights /= np.take_along_axis(weights, first, axis=1)
        digits = 10.0 ** (np.floor(np.log10(np.where(weights > 0, weights, 1))) - 2)
        return np.asarray(self.sign * np.round(weights / digits) * digits)

    def now(self, formula: Formula | None, units: Mapping[str, str]) -> Floats:
        """Return the weights of a formula, ``[0 or 1, targets]``: none where it is no such sum."""
        linear = formula.linear(units) if formula else None
        if linear is None or not set(linear) <= set(self.targets):
            return np.empty((0, len(self.targets)))
        return np.array([[linear.get(name, 0.0) for name in self.targets]]) / self.natural

    def formula(self, weights: Floats) -> Additive:
        """Return the formula of one weighting."""
        return Additive(
            weights={
                name: Weight(weight=float(f"{weight:.6g}"), per=per)
                for name, weight, per in zip(self.targets, weights, self.per, strict=True)
            }
        )
