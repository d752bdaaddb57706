import math

import numpy as np
import pytest
import torch

from trimtab.targets import Duration, DurationSettings, Given, heads
from trimtab.targets.heads import LogSquared, Ordinal

SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def alone(rows: int) -> Given:
    return Given(steps=(), happened=torch.ones(rows))


def build(unit: str = "s", head: str = "log_squared") -> Duration:
    target = DurationSettings.model_validate({"unit": unit, "head": head}).build("y", {})
    assert isinstance(target, Duration)
    return target


def durations(rows: int) -> torch.Tensor:
    drawn = (torch.randn(rows, dtype=torch.float64) * 1.5 + 2).exp()
    return torch.where(torch.arange(rows) % 10 == 0, 0.0, drawn)


def test_the_default_head_is_ordinal() -> None:
    settings = DurationSettings()
    assert settings.head.kind == "ordinal"
    target = settings.build("y", {})
    assert isinstance(target.head, Ordinal)
    assert target.width == settings.head.bins


@pytest.mark.parametrize("unit", list(SECONDS))
def test_log_squared_is_the_squared_error_of_the_scaled_logarithm(unit: str) -> None:
    y = durations(200) / SECONDS[unit]
    target = build(unit).double()
    target.learn(y.float())
    logs = np.log1p(y.numpy() * SECONDS[unit])
    z = torch.linspace(-40, 40, 200, dtype=torch.float64)[:, None]
    expected = (z[:, 0].numpy() - (logs - logs.mean()) / logs.std()) ** 2
    loss = target.loss(z, {"y": y}, alone(200)).numpy()
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit", ["ms", "min", "h"])
@pytest.mark.parametrize("head", list(heads))
def test_the_unit_changes_nothing_but_the_unit(unit: str, head: str) -> None:
    y = (durations(300) * 64).round() / 64
    plain, other = build("s", head), build(unit, head)
    scaled = y / SECONDS[unit]
    start = plain.learn(y.float())
    torch.testing.assert_close(other.learn(scaled.float()), start, rtol=1e-3, atol=1e-4)
    z = start + torch.randn(300, plain.width)
    torch.testing.assert_close(
        other.loss(z, {"y": scaled.float()}, alone(300)),
        plain.loss(z, {"y": y.float()}, alone(300)),
        rtol=1e-3,
        atol=1e-4,
    )
    plain.finish(z, {"y": y.float()}, alone(300))
    other.finish(z, {"y": scaled.float()}, alone(300))
    torch.testing.assert_close(
        other.predict(z, alone(300)) * SECONDS[unit],
        plain.predict(z, alone(300)),
        rtol=1e-3,
        atol=1e-3,
    )


def test_a_perfect_logit_of_log_squared_predicts_the_label() -> None:
    y = durations(100)
    target = build().double()
    target.learn(y.float())
    assert isinstance(target.head, LogSquared)
    z = ((y.log1p() - target.head.center) / target.head.deviation)[:, None]
    torch.testing.assert_close(target.predict(z, alone(100)), y, rtol=1e-5, atol=1e-5)
    assert target.loss(z, {"y": y}, alone(100)).max() < 1e-9


@pytest.mark.parametrize("head", list(heads))
def test_prediction_is_never_negative_nor_beyond_the_longest_seen(head: str) -> None:
    y = durations(100).float()
    target = build(head=head)
    target.learn(y)
    size = torch.tensor([[-1e4], [1e4]]).expand(2, target.width)
    prediction = target.predict(size, alone(2))
    assert prediction[0].item() == pytest.approx(0, abs=1e-6)
    assert 0 < prediction[1] <= y.max() * (1 + 1e-5)


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


@pytest.mark.parametrize("head", list(heads))
def test_behind_steps_it_is_predicted_over_all_rows(head: str) -> None:
    target, step = build(head=head), torch.randn(40).double()
    z = target.learn(durations(100).float()) + torch.randn(40, target.width).double()
    target.finish(z, {"y": durations(40)}, alone(40))
    given = Given(steps=(step,), happened=torch.ones(40))
    whole, there = target.predict(z, given), target.predict(z, alone(40))
    torch.testing.assert_close(whole, step.sigmoid() * there)
