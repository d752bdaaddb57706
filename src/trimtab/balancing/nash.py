"""The bargain between targets' gradients, by Newton's method."""

import torch
from jaxtyping import Float
from torch import Tensor

RIDGE = 1e-6
"""Added to the diagonal, so that gradients that cancel out have a solution."""
STEPS = 100
"""Of Newton's method, at most; ten are common."""


def bargain(
    products: Float[Tensor, "targets targets"], weight: Float[Tensor, " targets"]
) -> Float[Tensor, " targets"]:
    """Return the ``f > 0`` with ``f_t (G f)_t = weight_t``, times a constant.

    Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022, eq. 3, with weights: the
    direction that is best for ``sum_t weight_t log (g_t . d)``. Where we differ: ``f`` is the
    minimum of ``f' G f / 2 - sum_t weight_t log f_t``, which is convex, so damped Newton steps find
    it in well under a millisecond; the paper's convex-concave procedure, and TorchJD's, needs a
    solver of convex programs and leaves all factors at 1 where its start is in conflict. The
    constant is such that gradients of equal length at right angles, all of weight 1, keep factor 1.

    Parameters
    ----------
    products
        Inner products of the gradients, of trace 1 and without zeros on the diagonal.
    weight
        Weights of the targets, above 0.
    """
    unit = weight.min()  # With weights of 1 or more, no damped step leaves the domain.
    scaled = weight / unit
    matrix = products + RIDGE * torch.eye(len(weight)).to(products)
    factors = (scaled / matrix.diagonal()).sqrt()
    for _ in range(STEPS):
        slope = matrix @ factors - scaled / factors
        step = torch.linalg.solve(matrix + (scaled / factors.square()).diag(), slope)
        length = (slope @ step).clamp(min=0).sqrt()
        factors = factors - step / (1 + length)
        if length < 1e-9:
            break
    return factors * (unit / len(weight)).sqrt()
