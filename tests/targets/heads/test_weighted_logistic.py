from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trimtab.targets.heads import WeightedLogistic

Fit = Callable[..., Tensor]


def build(label: Tensor) -> tuple[WeightedLogistic, Tensor]:
    head = WeightedLogistic().double()
    return head, head.learn(label.float())


def seen(label: Tensor) -> Tensor:
    return torch.zeros_like(label, dtype=torch.bool)


def test_loss_is_the_formula(labels: Tensor) -> None:
    head, _ = build(labels)
    z = torch.linspace(-30, 30, 200, dtype=torch.float64)
    y = labels[:200]
    weight = y.numpy() / labels.numpy().mean()
    expected = weight * np.log1p(np.exp(-z.numpy())) + np.log1p(np.exp(z.numpy()))
    loss = head.loss(z[:, None], y, censored=seen(y))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_the_best_constant_is_the_mean_and_the_start(labels: Tensor, fit: Fit) -> None:
    head, start = build(labels)
    best = fit(head, labels, start=torch.ones(1))
    assert head.mean(best).item() == pytest.approx(labels.mean().item(), rel=1e-6)
    assert head.mean(start.double()[None]).item() == pytest.approx(labels.mean().item(), rel=1e-6)


def test_the_worked_example_of_a_mean_of_8() -> None:
    """The odds are the mean; with only the zeros as negatives they would be 8 / 0.7."""
    label = torch.tensor([10.0] * 2 + [60.0] + [0.0] * 7).double()
    head, start = build(label)
    assert head.scale.item() == 8
    assert start.item() == 0
    assert head.mean(torch.zeros(1, 1).double()).item() == 8


def test_a_prediction_stays_below_the_longest_label_but_a_mistake_keeps_its_gradient(
    labels: Tensor,
) -> None:
    head, _ = build(labels)
    z = torch.tensor([[300.0], [-300.0]], dtype=torch.float64, requires_grad=True)
    assert head.mean(z)[0].item() == pytest.approx(labels.max().item(), rel=1e-6)
    y = torch.tensor([0.0, labels.mean().item()]).double()
    (gradient,) = torch.autograd.grad(head.loss(z, y, censored=seen(y)).sum(), z)
    torch.testing.assert_close(gradient[:, 0], torch.tensor([1.0, -1.0]).double())


def test_a_censored_row_costs_nothing_more_beyond_its_label(labels: Tensor) -> None:
    head, _ = build(labels)
    y = torch.full((3,), 2 * labels.mean().item()).double()
    best = np.log(2)
    z = torch.tensor([[best - 1], [best + 1], [best + 9]]).double().requires_grad_()
    loss = head.loss(z, y, censored=~seen(y))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert gradient[0] < 0
    assert (gradient[1:] == 0).all()
    least = head.loss(torch.full((3, 1), best).double(), y, censored=seen(y))
    torch.testing.assert_close(loss[1:], least[1:], rtol=1e-6, atol=1e-6)
