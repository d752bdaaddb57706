"""TorchJD's aggregators: gradients in conflict, merged so that no target loses."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.balancing.base import BalancerSettings, balancers
from trimtab.balancing.gradients import GradientBalancer, Meeting
from trimtab.balancing.nash import bargain
from trimtab.errors import SettingsError

Aggregator = Literal["upgrad", "pcgrad", "cagrad", "aligned_mtl", "imtl_g", "nash"]
Rule = Callable[[Tensor, Tensor], Tensor]
"""From the inner products of observed targets, and their weights, to the factors."""

_EXTRA = {"cagrad": "torchjd[cagrad]"}
"""What an aggregator needs beside our own extra: a solver of convex programs."""
_EVEN = ("imtl_g",)
"""Aggregators whose result is the same whatever the weights."""


@balancers.register("torchjd")
class TorchJDSettings(BalancerSettings):
    """Gradients in conflict, merged by one of TorchJD's aggregators (an optional package)."""

    kind: Literal["torchjd"] = "torchjd"
    aggregator: Aggregator = "upgrad"
    """How: ``upgrad``, ``pcgrad``, ``cagrad``, ``aligned_mtl``, ``imtl_g`` or ``nash``."""
    at: Meeting = "output"
    """Where gradients are compared: the trunk's ``output``, or its shared ``parameters``, which a
    trunk with a representation a target needs, such as MMoE: at its output nothing conflicts."""

    def build(self, weights: Mapping[str, float]) -> "TorchJD":
        """Build the balancer; ``SettingsError`` when TorchJD, or its solver, is not installed."""
        try:
            rule = _RULES[self.aggregator](import_module("torchjd.aggregation"))
        except ImportError:
            extra = _EXTRA.get(self.aggregator, "trimtab[torchjd]")
            raise SettingsError(
                f"balancing: kind 'torchjd' with aggregator {self.aggregator!r} needs a package "
                f"that is not installed. Install it with: pip install '{extra}'"
            ) from None
        return TorchJD(weights, rule=rule, at=self.at)

    def problems(self, weights: Mapping[str, float]) -> list[str]:
        """Refuse weights that would have no effect."""
        different = {weight for weight in weights.values() if weight}
        if self.aggregator not in _EVEN or len(different) < 2:
            return []
        shown = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        return [
            f"balancing.aggregator: {self.aggregator!r} pulls every target alike, whatever its "
            f"weight; expected targets of equal weight, or of weight 0; found {shown}"
        ]


class TorchJD(GradientBalancer):
    """``sum_t f_t g_t`` with factors from the inner products ``g_s . g_t`` of all pairs.

    The formulas are those of TorchJD (Quinton and Rey, "Jacobian Descent for Multi-Objective
    Optimization", arXiv 2406.16232); the products are divided by their trace first, as TorchJD
    takes gradients as small as a batch's mean has for zero, and targets that the batch does not
    observe are left out. Sums over targets, where TorchJD takes means.

    ``upgrad`` (as above, section 3): each gradient is projected to where it harms no other.
    ``pcgrad`` (Yu et al., NeurIPS 2020, algorithm 1): gradients lose what opposes another.
    ``cagrad`` (Liu et al., NeurIPS 2021, algorithm 1, c = 0.4): the best step for the worst-off
    target within ``c`` of the sum. ``aligned_mtl`` (Senushkin et al., CVPR 2023, algorithm 1):
    principal directions of equal length. ``imtl_g`` (Liu et al., ICLR 2021): equal
    projections on all gradients. ``nash`` (Navon et al., ICML 2022): a bargain between targets, by
    our own solver (``bargain``).

    Parameters
    ----------
    rule
        The factors, from inner products of trace 1 and the targets' weights.
    """

    def __init__(self, weights: Mapping[str, float], *, rule: Rule, at: Meeting) -> None:
        super().__init__(weights, at=at)
        self.rule = rule

    def weigh(
        self, losses: Float[Tensor, " targets"], gramian: Float[Tensor, "targets targets"]
    ) -> Float[Tensor, " targets"]:
        """Return the aggregator's factors; 0 for targets that the batch does not observe."""
        factors = torch.zeros_like(self.target_weight)
        seen = gramian.diagonal() > 0
        if seen.any():
            products = gramian[seen][:, seen].double()
            weight = self.target_weight[seen].double()
            factors[seen] = self.rule(products / products.trace(), weight).to(factors.dtype)
        return factors


def _upgrad(jd: Any) -> Rule:
    weighting = jd.UPGradWeighting()

    def rule(products: Tensor, weight: Tensor) -> Tensor:
        # Of unit length, so that TorchJD's regularisation does not take short ones for zero.
        length = products.diagonal().sqrt()
        weighting.pref_vector = weight * length
        factors: Tensor = weighting(products / length.outer(length))
        return factors / length

    return rule


def _pcgrad(jd: Any) -> Rule:
    weighting = jd.PCGradWeighting()

    def rule(products: Tensor, weight: Tensor) -> Tensor:
        factors: Tensor = weighting(products * weight.outer(weight))
        return weight * factors

    return rule


def _cagrad(jd: Any) -> Rule:
    weighting = jd.CAGradWeighting(c=0.4)

    def rule(products: Tensor, weight: Tensor) -> Tensor:
        weighted = products * weight.outer(weight)
        factors: Tensor = weighting(weighted / weighted.trace())
        return len(weight) * weight * factors

    return rule


def _aligned_mtl(jd: Any) -> Rule:
    weighting = jd.AlignedMTLWeighting()

    def rule(products: Tensor, weight: Tensor) -> Tensor:
        weighting.pref_vector = weight
        factors: Tensor = weighting(products)
        return factors

    return rule


def _imtl_g(jd: Any) -> Rule:
    weighting = jd.IMTLGWeighting()

    def rule(products: Tensor, weight: Tensor) -> Tensor:
        factors: Tensor = weighting(products)
        return weight.sum() * factors

    return rule


_RULES: dict[Aggregator, Callable[[Any], Rule]] = {
    "upgrad": _upgrad,
    "pcgrad": _pcgrad,
    "cagrad": _cagrad,
    "aligned_mtl": _aligned_mtl,
    "imtl_g": _imtl_g,
    "nash": lambda jd: bargain,
}
