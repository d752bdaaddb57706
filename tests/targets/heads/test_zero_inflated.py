import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trimtab.targets.heads import ZeroInflated

Fit = Callable[..., Tensor]


def build(label: Tensor, cap: float = 3.0) -> tuple[ZeroInflated, Tensor]:
    head = ZeroInflated(cap=cap).double()
    return head, head.learn(label.float())


def seen(label: Tensor) -> Tensor:
    return torch.zeros_like(label, dtype=torch.bool)


def normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2))


def test_loss_is_the_likelihood(labels: Tensor) -> None:
    head, _ = build(labels)
    z, y = torch.randn(80, 3, dtype=torch.float64) * 2, labels[:80]
    logs = np.log(labels.numpy()[labels.numpy() > 0])
    censored = torch.arange(80) % 3 == 1
    expected = []
    for (logit, middle, raw), value, beyond in zip(
        z.tolist(), y.tolist(), censored.tolist(), strict=True
    ):
        p, s = 1 / (1 + math.exp(-logit)), 0.1 + math.log1p(math.exp(raw))
        if value == 0:
            expected.append(0.0 if beyond else -math.log(1 - p))
            continue
        away = ((math.log(value) - logs.mean()) / logs.std() - middle) / s
        tail = -math.log(normal(-away)) if beyond else math.log(s / 0.1) + away**2 / 2
        expected.append(-math.log(p) + tail)
    np.testing.assert_allclose(head.loss(z, y, censored=censored), expected, rtol=1e-5)


def test_the_best_constant_is_the_mean_of_a_log_normal(fit: Fit) -> None:
    y = (torch.randn(20_000, dtype=torch.float64) * 0.9 + 1).exp()
    y = torch.where(torch.rand(20_000) < 0.3, 0.0, y)
    head, start = build(y)
    best = fit(head, y, start=torch.zeros(3))
    some = y[y > 0].log()
    expected = (y > 0).double().mean() * (some.mean() + some.var(correction=0) / 2).exp()
    assert head.mean(best).item() == pytest.approx(expected.item(), rel=1e-4)
    assert head.mean(best).item() == pytest.approx(0.7 * math.exp(1 + 0.81 / 2), rel=0.03)
    torch.testing.assert_close(best[0], start.double(), rtol=1e-3, atol=1e-3)


def test_censored_amounts_are_learnt_as_at_least_that(fit: Fit) -> None:
    y = (torch.randn(20_000, dtype=torch.float64) * 0.9 + 1).exp()
    limit = (torch.randn(20_000, dtype=torch.float64) * 0.9 + 1.5).exp()
    head, start = build(torch.minimum(y, limit))
    head.highest.fill_(9.0)
    best = fit(head, torch.minimum(y, limit), start=start, censored=y >= limit)
    assert head.mean(best).item() == pytest.approx(math.exp(1 + 0.81 / 2), rel=0.03)
    blind = fit(head, torch.minimum(y, limit), start=start)
    assert head.mean(blind).item() < 0.8 * math.exp(1 + 0.81 / 2)


def test_a_huge_deviation_is_capped_in_the_prediction_alone(labels: Tensor) -> None:
    head, start = build(labels, cap=0.5)
    start = start.double()[None]
    wide, wider = start.clone(), start.clone()
    wide[0, 2], wider[0, 2] = 5, 50
    assert head.mean(wide) == head.mean(wider)
    y = labels[1:2]
    assert head.loss(wide, y, censored=seen(y)) < head.loss(wider, y, censored=seen(y))


def test_what_is_above_0_is_at_most_the_highest_label_on_average(labels: Tensor) -> None:
    head, _ = build(labels)
    mean = head.mean(torch.full((1, 3), 400.0).double())
    assert mean.item() == pytest.approx(labels.max().item(), rel=1e-6)


@pytest.mark.parametrize("label", [torch.zeros(5), torch.full((5,), 7.0), torch.zeros(0)])
def test_labels_that_do_not_differ(label: Tensor) -> None:
    head, start = build(label)
    y = torch.full((3,), 7.0).double()
    assert head.loss(start.double().expand(3, -1), y, censored=seen(y)).isfinite().all()
    assert head.mean(start.double()[None]).isfinite().all()


def test_a_mistake_far_from_the_middle_keeps_its_gradient(labels: Tensor) -> None:
    head, _ = build(labels)
    z = torch.tensor([[80.0, 0, 0], [-80.0, 0, 0], [0, -80.0, 0]]).double().requires_grad_()
    y = torch.tensor([0.0, 5.0, 5.0]).double()
    for beyond in (False, True):
        loss = head.loss(z, y, censored=torch.tensor([False, beyond, beyond]))
        (gradient,) = torch.autograd.grad(loss.sum(), z)
        assert gradient[0, 0] > 0.9
        assert gradient[1, 0] < -0.9
        assert gradient[2, 1] < -10


def test_a_first_order_weight_is_of_the_chance_alone(labels: Tensor) -> None:
    head, start = build(labels)
    lifted = head.lifted(start.double()[None], torch.ones(1, 1).double())
    assert torch.equal(lifted[0] - start, torch.tensor([1.0, 0.0, 0.0]).double())
