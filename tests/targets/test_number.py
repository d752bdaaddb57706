import math

import numpy as np
import pytest
import torch
from torch.nn.functional import huber_loss, mse_loss

from trimtab.targets import Given, Number, NumberSettings


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def build(**settings: object) -> Number:
    target = NumberSettings.model_validate(settings).build("y", {})
    assert isinstance(target, Number)
    return target


def test_squared_error_is_pytorchs() -> None:
    z, y = torch.linspace(-40, 40, 81, dtype=torch.float64)[:, None], torch.randn(81).double()
    loss = build(scale="none").loss(z, {"y": y}, alone(81))
    assert torch.equal(loss, mse_loss(z[:, 0], y, reduction="none"))


@pytest.mark.parametrize("delta", [0.5, 1.0, 7.0])
def test_huber_is_twice_pytorchs(delta: float) -> None:
    z = torch.linspace(-40, 40, 161, dtype=torch.float64)[:, None].requires_grad_()
    y = torch.zeros(161, dtype=torch.float64)
    loss = build(scale="none", loss="huber", delta=delta).loss(z, {"y": y}, alone(161))
    twin = 2 * huber_loss(z[:, 0], y, reduction="none", delta=delta)
    torch.testing.assert_close(loss, twin)
    torch.testing.assert_close(
        torch.autograd.grad(loss.sum(), z), torch.autograd.grad(twin.sum(), z)
    )


def test_huber_of_a_large_delta_is_the_squared_error() -> None:
    z, y = torch.randn(50, 1), torch.randn(50)
    huber = build(scale="none", loss="huber", delta=1e6).loss(z, {"y": y}, alone(50))
    torch.testing.assert_close(huber, build(scale="none").loss(z, {"y": y}, alone(50)))


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_a_huge_mistake_keeps_its_gradient(loss: str) -> None:
    z = torch.tensor([[1e6], [-1e6]], requires_grad=True)
    value = build(scale="none", loss=loss).loss(z, {"y": torch.zeros(2)}, alone(2))
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert (gradient.abs() >= 2).all()
    assert gradient[0] > 0 > gradient[1]


def test_scale_is_learnt_and_undone() -> None:
    y = torch.randn(500, dtype=torch.float64) * 30 + 1000
    target = build()
    bias = target.learn(y.float())
    assert target.predict(bias.view(1, 1), alone(1)).item() == pytest.approx(
        y.mean().item(), rel=1e-6
    )
    z = ((y - y.mean()) / y.std(correction=0))[:, None]
    assert target.loss(z, {"y": y}, alone(500)).max() < 1e-9
    torch.testing.assert_close(target.predict(z, alone(500)), y, rtol=1e-6, atol=1e-3)
    # In deviations, the loss of the mean is 1 whatever the label's unit.
    start = target.loss(torch.zeros(500, 1), {"y": y}, alone(500))
    assert start.mean().item() == pytest.approx(1, rel=1e-6)


def test_without_scaling_labels_are_as_they_are() -> None:
    target = build(scale="none")
    assert target.learn(torch.tensor([5.0, 7.0])).item() == 6, "the mean, to start from"
    assert target.learn(torch.zeros(0)).item() == 0
    assert target.predict(torch.tensor([[6.0]]), alone(1)).item() == 6


def test_behind_a_step_it_is_learnt_only_where_that_happened() -> None:
    target = build(scale="none")
    happened = torch.tensor([1.0, 0.0, math.nan, 1.0])
    y = torch.tensor([3.0, 3.0, 3.0, math.nan])
    z = torch.tensor([[1.0], [1.0], [1.0], [1.0]], requires_grad=True)
    given = Given(steps=(torch.zeros(4),), happened=happened)
    loss = target.loss(z, {"y": y}, given)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert torch.equal(loss, torch.tensor([4.0, 0.0, 0.0, 0.0]))
    assert torch.equal(gradient, torch.tensor([[-4.0], [0.0], [0.0], [0.0]]))


def test_behind_a_step_its_loss_leaves_the_step_alone() -> None:
    step = torch.randn(6, requires_grad=True)
    given = Given(steps=(step,), happened=torch.ones(6))
    loss = build().loss(torch.zeros(6, 1, requires_grad=True), {"y": torch.ones(6)}, given)
    (gradient,) = torch.autograd.grad(loss.sum(), step, allow_unused=True, materialize_grads=True)
    assert torch.equal(gradient, torch.zeros(6))


def test_behind_steps_it_is_predicted_over_all_rows() -> None:
    z = torch.randn(40, 1, dtype=torch.float64)
    first, second = torch.randn(2, 40, dtype=torch.float64) * 3
    given = Given(steps=(first, second), happened=torch.ones(40))
    expected = first.sigmoid().numpy() * second.sigmoid().numpy() * z[:, 0].numpy()
    np.testing.assert_allclose(build(scale="none").predict(z, given).numpy(), expected)
