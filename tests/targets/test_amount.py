import math

import pytest
import torch

from trimtab.targets import Amount, AmountSettings, Given
from trimtab.targets.heads import ZeroInflated


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def spend(rows: int) -> torch.Tensor:
    drawn = (torch.randn(rows) * 1.2 + 3).exp()
    return torch.where(torch.rand(rows) < 0.95, 0.0, drawn)


def test_the_default_head_is_zero_inflated() -> None:
    target = AmountSettings().build("y", {})
    assert isinstance(target, Amount)
    assert isinstance(target.head, ZeroInflated)
    assert target.measure == "quantity"


def test_the_start_predicts_the_mean_of_a_log_normal_with_zeros() -> None:
    y = spend(200_000)
    target = AmountSettings().build("y", {})
    start = target.learn(y)
    prediction = target.predict(start.view(1, -1), alone(1)).item()
    assert prediction == pytest.approx(0.05 * math.exp(3 + 1.44 / 2), rel=0.05)


def test_behind_a_purchase_it_is_learnt_where_that_happened() -> None:
    y = spend(500)
    bought = (y > 0).float()
    target = AmountSettings().build("y", {})
    z = target.learn(y[bought == 1]).expand(500, -1).clone().requires_grad_()
    step = torch.full((500,), -3.0)
    given = Given(steps=(step,), happened=bought)
    loss = target.loss(z, {"y": y}, given)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert (gradient[bought == 0] == 0).all()
    target.finish(z.detach(), {"y": y}, given)
    prediction = target.predict(z.detach(), given)
    expected = torch.full((500,), torch.sigmoid(step[0]).item() * y[bought == 1].mean().item())
    torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)


def test_its_unit_is_the_labels() -> None:
    y = spend(1000)
    euros, cents = (AmountSettings().build("y", {}) for _ in range(2))
    z = euros.learn(y) + torch.randn(1000, 3)
    cents.learn(100 * y)
    torch.testing.assert_close(
        cents.loss(z, {"y": 100 * y}, alone(1000)),
        euros.loss(z, {"y": y}, alone(1000)),
        rtol=1e-4,
        atol=1e-4,
    )
    torch.testing.assert_close(
        cents.predict(z, alone(1000)),
        100 * euros.predict(z, alone(1000)),
        rtol=1e-4,
        atol=1e-4,
    )
