import math

import numpy as np
import pytest
import torch

from trimtab.targets import Duration, DurationSettings, Given

SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def build(unit: str = "s") -> Duration:
    target = DurationSettings.model_validate({"unit": unit}).build("y", {})
    assert isinstance(target, Duration)
    return target


def durations(rows: int) -> torch.Tensor:
    drawn = (torch.randn(rows, dtype=torch.float64) * 1.5 + 2).exp()
    return torch.where(torch.arange(rows) % 10 == 0, 0.0, drawn)


@pytest.mark.parametrize("unit", list(SECONDS))
def test_loss_is_the_squared_error_of_the_scaled_logarithm(unit: str) -> None:
    y = durations(200) / SECONDS[unit]
    target = build(unit).double()
    target.learn(y.float())
    logs = np.log1p(y.numpy() * SECONDS[unit])
    z = torch.linspace(-40, 40, 200, dtype=torch.float64)[:, None]
    expected = (z[:, 0].numpy() - (logs - logs.mean()) / logs.std()) ** 2
    loss = target.loss(z, {"y": y}, alone(200)).numpy()
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit", ["ms", "min", "h"])
def test_the_unit_changes_nothing_but_the_unit(unit: str) -> None:
    y, z = durations(300), torch.randn(300, 1)
    plain, other = build("s"), build(unit)
    scaled = y / SECONDS[unit]
    torch.testing.assert_close(other.learn(scaled.float()), plain.learn(y.float()))
    torch.testing.assert_close(
        other.loss(z, {"y": scaled.float()}, alone(300)),
        plain.loss(z, {"y": y.float()}, alone(300)),
        rtol=1e-4,
        atol=1e-5,
    )
    plain.finish(z, {"y": y.float()}, alone(300))
    other.finish(z, {"y": scaled.float()}, alone(300))
    torch.testing.assert_close(
        other.predict(z, alone(300)) * SECONDS[unit],
        plain.predict(z, alone(300)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_perfect_logit_predicts_the_label() -> None:
    y = durations(100)
    target = build().double()
    target.learn(y.float())
    z = ((y.log1p() - target.center) / target.deviation)[:, None]
    torch.testing.assert_close(target.predict(z, alone(100)), y, rtol=1e-5, atol=1e-5)
    assert target.loss(z, {"y": y}, alone(100)).max() < 1e-9


def test_smearing_makes_the_mean_prediction_the_mean_label() -> None:
    y, z = durations(1000).float(), torch.randn(1000, 1) * 0.7
    labels = {"y": torch.where(torch.arange(1000) % 4 == 0, torch.nan, y)}
    target = build()
    target.learn(y)
    before = target.predict(z, alone(1000))[torch.arange(1000) % 4 != 0].mean()
    target.finish(z, labels, alone(1000))
    seen = ~labels["y"].isnan()
    after = target.predict(z, alone(1000))[seen].mean()
    assert after.item() == pytest.approx(y[seen].mean().item(), rel=1e-5)
    assert after.item() != pytest.approx(before.item(), rel=1e-2)


def test_smearing_twice_is_smearing_once() -> None:
    y, z = durations(100).float(), torch.randn(100, 1)
    target = build()
    target.learn(y)
    target.finish(z, {"y": y}, alone(100))
    once = target.smearing.clone()
    target.finish(z, {"y": y}, alone(100))
    assert torch.equal(target.smearing, once)


def test_smearing_behind_a_step_uses_the_rows_where_it_happened() -> None:
    y, z = durations(400).float(), torch.randn(400, 1)
    happened = (torch.arange(400) % 3 == 0).float()
    labels = {"y": torch.where(happened == 1, y, 0.0)}
    target = build()
    target.learn(y[happened == 1])
    target.finish(z, labels, Given(steps=(torch.zeros(400),), happened=happened))
    there = target.predict(z, alone(400))[happened == 1]
    assert there.mean().item() == pytest.approx(y[happened == 1].mean().item(), rel=1e-5)


def test_prediction_is_never_negative_nor_beyond_the_longest_seen() -> None:
    y = durations(100).float()
    target = build()
    target.learn(y)
    prediction = target.predict(torch.tensor([[-1e4], [1e4]]), alone(2))
    assert prediction[0] == 0
    assert prediction[1].item() == pytest.approx(y.max().item(), rel=1e-5)


def test_a_long_mistake_keeps_its_gradient() -> None:
    target = build()
    target.learn(durations(100).float())
    z = torch.tensor([[40.0], [-40.0]], requires_grad=True)
    loss = target.loss(z, {"y": torch.tensor([0.0, 1e5])}, alone(2))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert gradient[0] > 1
    assert gradient[1] < -1


def test_behind_a_step_it_is_learnt_only_where_that_happened() -> None:
    target = build()
    happened = torch.tensor([1.0, 0.0, math.nan, 1.0])
    y = torch.tensor([math.e - 1, 3.0, 3.0, math.nan])
    z = torch.full((4, 1), 3.0, requires_grad=True)
    loss = target.loss(z, {"y": y}, Given(steps=(torch.zeros(4),), happened=happened))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    torch.testing.assert_close(loss, torch.tensor([4.0, 0.0, 0.0, 0.0]))
    assert torch.equal(loss[1:], torch.zeros(3))
    assert torch.equal(gradient[1:], torch.zeros(3, 1))


def test_behind_steps_it_is_predicted_over_all_rows() -> None:
    z, step = torch.randn(40, 1).double(), torch.randn(40).double()
    target = build()
    target.learn(durations(100).float())
    target.finish(z, {"y": durations(40)}, alone(40))
    given = Given(steps=(step,), happened=torch.ones(40))
    whole, there = target.predict(z, given), target.predict(z, alone(40))
    torch.testing.assert_close(whole, step.sigmoid() * there)
