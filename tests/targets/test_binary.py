from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from trimtab.targets import Binary, Given


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def formula(z: np.ndarray, y: np.ndarray, w: float) -> np.ndarray:
    """``-w y log q - (1 - y) log(1 - q)`` with ``q = 1 / (1 + e^-z)``."""
    return w * y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)


def fit(logit: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
    """Take Newton's steps on logits that do not see each other."""
    for _ in range(50):
        (slope,) = torch.autograd.grad(loss(logit).sum(), logit, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), logit)
        logit.data -= (slope.detach() / bend).clamp(-1, 1)


@pytest.mark.parametrize("weight", [1.0, 5.0, 0.2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_loss_is_the_weighted_cross_entropy(
    weight: float, dtype: torch.dtype, tolerance: float
) -> None:
    z = torch.linspace(-40, 40, 161, dtype=dtype).repeat(2)
    y = torch.tensor([0.0, 1.0]).repeat_interleave(161)
    target = Binary("y", positive_weight=weight)
    loss = target.loss(z[:, None], {"y": y}, alone(322))
    expected = torch.from_numpy(formula(z.double().numpy(), y.double().numpy(), weight))
    torch.testing.assert_close(loss.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_loss_and_gradient_are_pytorchs(weight: float) -> None:
    z = torch.linspace(-15, 15, 61, dtype=torch.float64).repeat(2)[:, None].requires_grad_()
    y = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(61)
    loss = Binary("y", positive_weight=weight).loss(z, {"y": y}, alone(122))
    twin = binary_cross_entropy_with_logits(
        z[:, 0], y, pos_weight=torch.tensor(weight), reduction="none"
    )
    torch.testing.assert_close(loss, twin)
    torch.testing.assert_close(
        torch.autograd.grad(loss.sum(), z), torch.autograd.grad(twin.sum(), z)
    )


@pytest.mark.parametrize("weight", [1.0, 5.0, 0.2])
@pytest.mark.parametrize("size", [40.0, 80.0, -40.0, -80.0])
def test_gradient_of_a_confident_mistake_is_whole(weight: float, size: float) -> None:
    z = torch.tensor([[size]], requires_grad=True)
    y = torch.tensor([1.0 if size < 0 else 0.0])
    loss = Binary("y", positive_weight=weight).loss(z, {"y": y}, alone(1))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert gradient.item() == pytest.approx(-weight if size < 0 else 1.0, rel=1e-5)


@pytest.mark.parametrize("weight", [1.0, 3.0, 20.0, 0.25])
def test_probability_is_calibrated_whatever_the_weight(weight: float) -> None:
    happened, rows = torch.tensor([1, 3, 9]), torch.tensor([50, 12, 10])
    y = torch.cat(
        [(torch.arange(int(n)) < k).double() for k, n in zip(happened, rows, strict=True)]
    )
    group = torch.arange(3).repeat_interleave(rows)
    target = Binary("y", positive_weight=weight)
    z = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    fit(z, lambda z: target.loss(z[group][:, None], {"y": y}, alone(len(y))))
    q, p = z.sigmoid(), happened / rows.double()
    torch.testing.assert_close(q / (q + weight * (1 - q)), p)
    torch.testing.assert_close(target.predict(z[:, None], alone(3)), p)
    torch.testing.assert_close(target.log_odds(z[:, None]), p.logit())


def test_a_weighted_conditional_probability_is_calibrated_over_all_rows() -> None:
    # 100 impressions, 40 clicks, 10 likes, no feature to tell them apart.
    click, like = (torch.arange(100) < 40).double(), (torch.arange(100) < 10).double()
    before, after = Binary("click"), Binary("like", positive_weight=7.0)
    z = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def loss(z: Tensor) -> Tensor:
        step = before.log_odds(z[0].expand(100, 1))
        given = Given(steps=(step.detach(),), happened=click)
        return before.loss(z[0].expand(100, 1), {"click": click}, alone(100)) + after.loss(
            z[1].expand(100, 1), {"like": like}, given
        )

    optimizer = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> float:
        optimizer.zero_grad()
        value = loss(z).sum()
        value.backward()
        return value.item()

    optimizer.step(closure)
    given = Given(steps=(before.log_odds(z[:1, None]),), happened=torch.ones(1))
    assert before.predict(z[:1, None], alone(1)).item() == pytest.approx(0.4, rel=1e-6)
    assert after.predict(z[1:, None], given).item() == pytest.approx(0.1, rel=1e-6)
    assert after.predict(z[1:, None], alone(1)).item() == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_start_is_the_best_constant(weight: float) -> None:
    y = (torch.arange(200) < 30).float()
    target = Binary("y", positive_weight=weight)
    bias = target.learn(y).double().requires_grad_()
    loss = target.loss(bias.expand(200, 1), {"y": y}, alone(200)).sum()
    (slope,) = torch.autograd.grad(loss, bias)
    assert slope.item() == pytest.approx(0, abs=1e-4)
    assert target.predict(bias.view(1, 1), alone(1)).item() == pytest.approx(0.15, rel=1e-5)
