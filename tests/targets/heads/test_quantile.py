import numpy as np
import pytest
import torch
from torch import Tensor

from trimtab.targets.heads import Quantile


def build(label: Tensor, count: int = 8) -> tuple[Quantile, Tensor]:
    head = Quantile(count).double()
    return head, head.learn(label.float())


def seen(label: Tensor) -> Tensor:
    return torch.zeros_like(label, dtype=torch.bool)


def test_loss_is_the_mean_pinball_loss_of_growing_quantiles(labels: Tensor) -> None:
    head, _ = build(labels)
    z, y = torch.randn(60, 8, dtype=torch.float64) * 2, labels[:60]
    logs, censored = np.log1p(y.numpy() / labels.numpy().mean()), torch.arange(60) % 4 == 0
    for i in range(60):
        quantile, losses = z[i, 0].item(), []
        for k in range(8):
            quantile += np.log1p(np.exp(z[i, k].item())) if k else 0
            level, short = (k + 0.5) / 8, logs[i] - quantile
            free = censored[i] and short < 0
            losses.append(0 if free else max(level * short, (level - 1) * short))
        loss = head.loss(z[i : i + 1], y[i : i + 1], censored=censored[i : i + 1])
        np.testing.assert_allclose(loss, [np.mean(losses)], rtol=1e-6)


def test_quantiles_never_cross() -> None:
    head = Quantile(20)
    assert (head._quantiles(torch.randn(300, 20) * 10).diff(dim=1) >= 0).all()


def test_the_start_is_the_quantiles_of_all_labels_and_they_are_the_best(labels: Tensor) -> None:
    label = labels[labels > 0]
    head, start = build(label)
    found = torch.expm1(head._quantiles(start.double()[None]))[0] * head.scale
    expected = np.quantile(label.numpy(), (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    def loss(z: Tensor) -> float:
        return head.loss(z.expand(len(label), -1), label, censored=seen(label)).mean().item()

    best = loss(start.double())
    for _ in range(20):
        assert loss(start.double() + 0.1 * torch.randn(8)) > best


def test_the_mean_is_the_mean_over_quantiles_within_the_labels(labels: Tensor) -> None:
    head, start = build(labels, 200)
    mean = head.mean(start.double()[None]).item()
    assert 0.95 < mean / labels.mean().item() < 1.05
    assert head.mean(torch.full((1, 200), -90.0).double()).item() == 0
    highest = head.mean(torch.full((1, 200), 90.0).double())
    torch.testing.assert_close(highest[0], labels.max(), rtol=1e-6, atol=1e-6)


def test_equal_quantiles_keep_a_gradient_between_them() -> None:
    label = torch.tensor([0.0] * 90 + [5.0] * 10).double()
    head, start = build(label)
    z = start.double().expand(1, -1).clone().requires_grad_()
    y = torch.tensor([20.0]).double()
    (gradient,) = torch.autograd.grad(head.loss(z, y, censored=seen(y)).sum(), z)
    assert (gradient < -1e-3).all()


@pytest.mark.parametrize("count", [2, 8, 9])
def test_the_typical_value_is_the_median(count: int) -> None:
    head, start = build(torch.arange(1001).double(), count)
    assert head.typical(start.double()[None]).item() == pytest.approx(500, rel=1e-4)


def test_a_first_order_weight_moves_all_quantiles_alike(labels: Tensor) -> None:
    head, start = build(labels)
    z = start.double()[None]
    moved = head._quantiles(head.lifted(z, torch.ones(1, 1).double())) - head._quantiles(z)
    torch.testing.assert_close(moved, torch.ones_like(moved))
