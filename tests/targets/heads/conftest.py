from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trimtab.targets.heads import Head

Fit = Callable[..., Tensor]


@pytest.fixture
def fit() -> Fit:
    """Return what finds the best numbers that are the same on every row."""

    def best(head: Head, label: Tensor, *, start: Tensor, censored: Tensor | None = None) -> Tensor:
        z = start.double().clone().requires_grad_()
        beyond = torch.zeros_like(label, dtype=torch.bool) if censored is None else censored
        optimizer = torch.optim.LBFGS(
            [z], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = head.loss(z.expand(len(label), -1), label, censored=beyond).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        return z.detach()[None]

    return best


@pytest.fixture
def labels() -> Tensor:
    """Labels of which a tenth is 0, as 32 bits hold them."""
    drawn = (torch.randn(2000, dtype=torch.float64) * 0.8 + 2).exp()
    return torch.where(torch.arange(2000) % 10 == 0, 0.0, drawn).float().double()
