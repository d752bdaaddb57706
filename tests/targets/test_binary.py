import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from trimtab.targets import Binary, BinarySettings, Given
from trimtab.targets.binary import cross_entropies


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


def test_losses_of_several_targets_and_their_gradients_are_pytorchs() -> None:
    logits = torch.randn(40, 3, dtype=torch.float64) * 15
    labels = (torch.rand(40, 3) < 0.5).double()
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    found = cross_entropies(list(ours.split(1, 1)), list(labels.unbind(1))).t()
    wanted = binary_cross_entropy_with_logits(theirs, labels, reduction="none")
    (found * logits).sum().backward()
    (wanted * logits).sum().backward()
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_missing_label_is_no_loss_at_any_logit_and_a_known_one_hides_no_nan() -> None:
    logits = torch.tensor([[0.3], [math.inf], [-math.inf]], requires_grad=True)
    losses = cross_entropies([logits], [torch.full((3,), math.nan)])
    losses.sum().backward()
    assert losses.tolist() == [[0, 0, 0]]
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0], [0], [0]]
    assert cross_entropies([torch.tensor([[math.nan]])], [torch.ones(1)]).isnan()


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


# Inverse propensity


def behind(steps: Tensor, happened: Tensor) -> Given:
    return Given(steps=tuple(steps), happened=happened)


def case(rows: int = 200, steps: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return logits, labels, earlier steps, and whether the last of these happened."""
    z = torch.randn(rows, dtype=torch.float64) * 3
    before = torch.randn(steps, rows, dtype=torch.float64) * 2
    happened = (torch.rand(rows) < 0.5).double()
    return z, happened * (torch.rand(rows) < 0.4), before, happened


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_ips_adds_the_loss_given_the_step_before_over_its_chance(steps: int, weight: float) -> None:
    z, y, before, happened = case(steps=steps)
    given = behind(before, happened)
    esmm = Binary("b", positive_weight=weight)
    ips = Binary("b", positive_weight=weight, ips_weight=0.7, propensity_floor=0.05)
    added = ips.loss(z[:, None], {"b": y}, given) - esmm.loss(z[:, None], {"b": y}, given)
    chance = np.prod(1 / (1 + np.exp(-before.numpy())), axis=0).clip(0.05, 1)
    wanted = 0.7 * happened.numpy() * formula(z.numpy(), y.numpy(), weight) / chance
    np.testing.assert_allclose(added.numpy(), wanted, rtol=1e-9, atol=1e-12)
    assert (chance == 0.05).any()


def test_no_gradient_goes_into_the_propensity() -> None:
    z, y, before, happened = case()
    gradients = []
    for target in (Binary("b"), Binary("b", ips_weight=1.0)):
        steps = before.clone().requires_grad_()
        loss = target.loss(z[:, None], {"b": y}, behind(steps, happened))
        gradients.append(torch.autograd.grad(loss.sum(), steps)[0])
    assert torch.equal(*gradients)

    def added(z: Tensor) -> Tensor:
        return Binary("b", ips_weight=1.0).loss(z, {"b": y}, behind(before, happened))

    assert torch.autograd.gradcheck(added, (z[:, None].requires_grad_(),))


def test_ips_is_nothing_where_either_label_is_missing() -> None:
    z, y, before, happened = case()
    target, esmm = Binary("b", ips_weight=1.0), Binary("b")
    unknown = torch.arange(len(z)) % 3 == 0
    z = z[:, None].requires_grad_()
    label = torch.where(unknown, torch.nan, y)
    loss = target.loss(z, {"b": label}, behind(before, happened))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert (loss[unknown] == 0).all()
    assert (gradient[unknown] == 0).all()
    assert gradient.isfinite().all()
    parent = behind(before, torch.where(unknown, torch.nan, happened))
    loss = target.loss(z, {"b": y}, parent)
    assert torch.equal(loss[unknown], esmm.loss(z, {"b": y}, parent)[unknown])


@pytest.mark.parametrize("size", [-80.0, 80.0])
def test_ips_of_confident_mistakes_and_of_unlikely_steps_is_finite(size: float) -> None:
    for step in (-80.0, 80.0):
        z = torch.tensor([[size]], requires_grad=True)
        given = behind(torch.tensor([[step]]), torch.ones(1))
        label = torch.tensor([1.0 if size < 0 else 0.0])
        loss = Binary("b", ips_weight=1.0).loss(z, {"b": label}, given)
        (gradient,) = torch.autograd.grad(loss.sum(), z)
        assert loss.isfinite().all()
        assert gradient.abs().item() > 0.9
        assert gradient.abs().item() < 22


def test_ips_estimates_the_loss_of_a_world_where_the_step_always_happens() -> None:
    """Rows where the step is likely are over-represented, but for their weights."""
    rows = 400_000
    step, z = torch.randn(2, rows, dtype=torch.float64)
    z = z + 1
    y = (torch.rand(rows) < (z + step).sigmoid()).double()  # What would follow depends on both.
    happened = (torch.rand(rows) < step.sigmoid()).double()
    labels, given = {"b": y * happened}, behind(step[None], happened)
    ips, esmm = (
        Binary("b", ips_weight=weight, propensity_floor=1e-3).loss(z[:, None], labels, given)
        for weight in (1.0, 0.0)
    )
    whole = torch.from_numpy(formula(z.numpy(), y.numpy(), 1.0)).mean()
    seen = torch.from_numpy(formula(z.numpy(), y.numpy(), 1.0))[happened == 1].mean()
    assert (ips - esmm).mean().item() == pytest.approx(whole.item(), rel=0.02)
    assert seen.item() != pytest.approx(whole.item(), rel=0.04)


def test_settings_of_the_entire_space() -> None:
    target = BinarySettings(given="a", entire_space="ips", ips_weight=2.0).build("b", {})
    assert (target.ips_weight, target.propensity_floor) == (2.0, 0.05)
    assert BinarySettings(given="a", ips_weight=2.0).build("b", {}).ips_weight == 0
    with pytest.raises(ValidationError, match="entire_space = 'ips' needs 'given'"):
        BinarySettings(entire_space="ips")


# Windows


def test_a_window_is_a_stretch_of_time() -> None:
    label = BinarySettings(window="7d").labels("buy", {})["buy"]
    assert (label.window, label.column) == (7 * 86_400, "buy")
    assert BinarySettings(window="1.5 h").labels("buy", {})["buy"].window == 5400
    assert BinarySettings().labels("buy", {})["buy"].window is None
    for wrong in ("7", "week", "-1d", "0d", ""):
        with pytest.raises(ValidationError, match="expected a stretch of time such as '7d'"):
            BinarySettings(window=wrong)
