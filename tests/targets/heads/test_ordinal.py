from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trimtab.targets.heads import Ordinal

Fit = Callable[..., Tensor]


def build(bins: int = 8, **settings: Any) -> Ordinal:
    plain = {"stretch": 2.0, "restoration": 0.0, "survival": False}
    return Ordinal(bins, **(plain | settings)).double()


def seen(label: Tensor) -> Tensor:
    return torch.zeros_like(label, dtype=torch.bool)


@pytest.mark.parametrize("stretch", [0.0, 1.0, 4.0])
def test_thresholds_are_those_of_the_paper_among_labels_above_0(stretch: float) -> None:
    label = torch.cat([torch.zeros(50), torch.randperm(1001).float() + 1])
    head = build(8, stretch=stretch)
    head.learn(label)
    share = np.arange(1, 8) / 8
    if stretch:
        share = (1 - np.exp(-stretch * share)) / (1 - np.exp(-stretch))
    expected = [0.0, *np.quantile(np.arange(1, 1002), share, method="lower")]
    np.testing.assert_allclose(head.thresholds, expected)
    assert head.counted.all()


def test_loss_is_the_mean_cross_entropy_over_thresholds(labels: Tensor) -> None:
    head = build()
    head.learn(labels.float())
    z, y = torch.randn(60, 8, dtype=torch.float64) * 2, labels[:60]
    p = (1 / (1 + np.exp(-z.numpy()))).cumprod(1)
    over = y.numpy()[:, None] > head.thresholds.numpy()
    expected = -np.where(over, np.log(p), np.log(1 - p)).mean(1)
    np.testing.assert_allclose(head.loss(z, y, censored=seen(y)), expected)


def test_loss_with_censored_rows_is_the_likelihood_of_the_steps_seen(labels: Tensor) -> None:
    head = build(survival=True)
    head.learn(labels.float())
    z, y = torch.randn(60, 8, dtype=torch.float64) * 2, labels[:60]
    censored = torch.arange(60) % 3 == 0
    expected = []
    for i in range(60):
        loss = 0.0
        for m, threshold in enumerate(head.thresholds.tolist()):
            p = 1 / (1 + np.exp(-z[i, m].item()))
            if y[i] > threshold:
                loss -= np.log(p)
                continue
            loss -= 0.0 if censored[i] else np.log(1 - p)
            break
        expected.append(loss)
    np.testing.assert_allclose(head.loss(z, y, censored=censored), expected)


def test_restoration_adds_hubers_loss_of_the_prediction_in_means(labels: Tensor) -> None:
    plain, head = build(), build(restoration=0.7)
    for one in (plain, head):
        one.learn(labels.float())
    z, y = torch.randn(60, 8, dtype=torch.float64) * 2, labels[:60]
    away = (head.mean(z) - y).abs() / labels.mean()
    huber = torch.where(away < 1, away**2 / 2, away - 0.5)
    expected = plain.loss(z, y, censored=seen(y)) + 0.7 * huber
    torch.testing.assert_close(head.loss(z, y, censored=seen(y)), expected, rtol=1e-6, atol=1e-6)
    known = head.loss(z, y, censored=~seen(y)) - plain.loss(z, y, censored=~seen(y))
    assert (known[head.mean(z) > y] == 0).all()
    assert (known[head.mean(z) < y] > 0).all()


def test_probabilities_never_rise() -> None:
    head = build(32)
    beyond = head.exceeds(torch.randn(500, 32, dtype=torch.float64) * 10)
    assert (beyond.diff(dim=1) <= 0).all()
    assert ((beyond >= 0) & (beyond <= 1)).all()


@pytest.mark.parametrize("survival", [False, True])
def test_the_best_constant_is_the_mean_and_the_start(
    survival: bool, labels: Tensor, fit: Fit
) -> None:
    head = build(survival=survival)
    start = head.learn(labels.float())
    assert head.mean(start.double()[None]).item() == pytest.approx(labels.mean().item(), rel=1e-6)
    best = fit(head, labels, start=torch.zeros(8))
    torch.testing.assert_close(best[0], start.double(), rtol=1e-3, atol=1e-3)
    assert head.mean(best).item() == pytest.approx(labels.mean().item(), rel=1e-4)


def test_bin_means_leave_less_bias_than_thresholds(labels: Tensor) -> None:
    head = build()
    start = head.learn(labels.float()).double()[None]
    edges = head.exceeds(start)[:, 1:] @ head.thresholds.diff()
    assert edges.item() < 0.9 * labels.mean().item()


def test_constant_logits_give_the_estimate_of_kaplan_and_meier() -> None:
    time = torch.rand(60).exp().float().double()
    censored = torch.arange(60) % 3 == 0
    head = build(130, stretch=0.0, survival=True)
    head.learn(time.float())
    used = int(head.counted.sum())
    assert used == 60  # 0, and every time but the last.
    step = []
    for threshold in head.thresholds[:used]:
        at_risk, ended = (time >= threshold).sum(), ((time == threshold) & ~censored).sum()
        step.append(1 - (ended / at_risk).item())
    z = torch.zeros(130, dtype=torch.float64)
    z[:used] = torch.tensor(step, dtype=torch.float64).logit(eps=1e-13)
    z.requires_grad_()
    loss = head.loss(z.expand(60, -1), time, censored=censored).sum()
    (gradient,) = torch.autograd.grad(loss, z)  # The loss is convex: this is the best constant.
    torch.testing.assert_close(gradient, torch.zeros_like(z), rtol=0, atol=1e-6)
    np.testing.assert_allclose(head.exceeds(z[None])[0, :used].detach(), np.cumprod(step))


def test_censored_rows_do_not_bias_survival(fit: Fit) -> None:
    lasted = torch.empty(20_000).exponential_().double()
    limit = torch.empty(20_000).exponential_().double() * 2
    head = build(16, survival=True)
    start = head.learn(torch.minimum(lasted, limit).float())
    best = fit(head, torch.minimum(lasted, limit), start=start, censored=lasted >= limit)
    true = (-head.thresholds).exp()
    torch.testing.assert_close(head.exceeds(best)[0], true, rtol=0, atol=0.02)
    blind = fit(head, torch.minimum(lasted, limit), start=start)
    assert (head.exceeds(blind)[0] - true).abs().max() > 0.1


@pytest.mark.parametrize("size", [-500.0, -80.0, 80.0, 500.0])
def test_a_confident_mistake_keeps_its_gradient(size: float) -> None:
    head = Ordinal(8, stretch=0.0, restoration=0.0, survival=False)
    head.learn(torch.arange(100).float())
    z = torch.full((1, 8), size, requires_grad=True)
    y = torch.tensor([0.0 if size > 0 else 99.0])
    loss = head.loss(z, y, censored=seen(y))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert loss.isfinite().all()
    assert loss > 50
    assert gradient.isfinite().all()
    assert gradient.abs().sum().item() > 0.9
    assert (gradient * size >= 0).all()


def test_few_different_labels_leave_thresholds_unused() -> None:
    head = build()
    start = head.learn(torch.tensor([0.0, 1, 1, 1, 2, 2, 5]))
    assert head.counted.sum() == 3
    assert head.thresholds[:3].tolist() == [0, 1, 2]
    torch.testing.assert_close(head.steps[:3], torch.tensor([1.0, 1.0, 3.0]).double())
    assert head.mean(start.double()[None]).item() == pytest.approx(12 / 7)
    z = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 1, 2, 7]).double()
    (gradient,) = torch.autograd.grad(head.loss(z, y, censored=seen(y)).sum(), z)
    assert (gradient[:, 3:] == 0).all()
    assert (gradient[:, :3] != 0).all()


@pytest.mark.parametrize(("value", "mean"), [(0.0, 0.0), (5.0, 5.0)])
def test_labels_all_alike_are_predicted(value: float, mean: float) -> None:
    head = build()
    start = head.learn(torch.full((9,), value))
    assert head.mean(start.double()[None]).item() == pytest.approx(mean, rel=1e-5)


def test_the_typical_value_has_the_expected_rank() -> None:
    label = torch.rand(4000).mul(4).exp() - 1
    head = Ordinal(16, stretch=1.0, restoration=0.0, survival=False)
    head.learn(label)
    logit = torch.randn(50, 16)
    ranks, values = head.ranks, torch.cat([torch.zeros(1), head.steps.cumsum(0)]) + head.lowest
    exceeds = head.exceeds(logit)
    share = torch.cat([torch.ones(50, 1), exceeds], 1) - torch.cat([exceeds, torch.zeros(50, 1)], 1)
    expected = np.interp((share * ranks).sum(1).numpy(), ranks.numpy(), values.numpy())
    np.testing.assert_allclose(head.typical(logit).numpy(), expected, rtol=1e-4)


def test_the_typical_value_of_all_rows_is_near_their_median() -> None:
    label = torch.rand(4000).mul(4).exp() - 1
    head = Ordinal(32, stretch=0.0, restoration=0.0, survival=False)
    start = head.learn(label)
    typical, mean = head.typical(start[None]).item(), head.mean(start[None]).item()
    assert abs((label < typical).float().mean() - 0.5) < 0.03
    assert mean == pytest.approx(label.mean().item(), rel=1e-3)
    assert typical < mean


def test_typical_values_of_labels_all_alike() -> None:
    head = Ordinal(8, stretch=1.0, restoration=0.0, survival=False)
    head.learn(torch.zeros(5))
    assert torch.equal(head.typical(torch.randn(3, 8)), torch.zeros(3))
    head.learn(torch.zeros(0))
    assert head.typical(torch.randn(3, 8)).isfinite().all()
