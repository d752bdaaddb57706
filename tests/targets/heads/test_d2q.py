from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from trimtab.targets.heads import D2Q

Fit = Callable[..., Tensor]


def build(by: str | None = None, **settings: Any) -> D2Q:
    return D2Q(by, **({"groups": 1, "points": 100, "squared": False} | settings)).double()


def seen(label: Tensor) -> Tensor:
    return torch.zeros_like(label, dtype=torch.bool)


def test_the_rank_is_the_share_below_and_half_of_that_equal() -> None:
    label = torch.tensor([0.0, 0, 0, 1, 2, 2, 7, 9, 12, 40, 41]).double()
    head = build(points=10)
    head.learn(label.float())
    expected = (rankdata(label.numpy()) - 1) / 10
    np.testing.assert_allclose(head.rank(label), expected)
    between = torch.tensor([0.5, 1.5, 26.0, -3.0, 99.0]).double()
    np.testing.assert_allclose(head.rank(between), [0.25, 0.35, 0.85, 0, 1])


@pytest.mark.parametrize("squared", [False, True])
def test_loss_is_the_cross_entropy_or_the_squared_error_of_the_rank(
    squared: bool, labels: Tensor
) -> None:
    head = build(squared=squared)
    head.learn(labels.float())
    y, z = labels[:90], torch.linspace(-9, 9, 90, dtype=torch.float64)
    rank, p = head.rank(y).numpy(), 1 / (1 + np.exp(-z.numpy()))
    entropy = -rank * np.log(p) - (1 - rank) * np.log(1 - p)
    expected = (z.numpy() - (rank - 0.5) * 12**0.5) ** 2 if squared else entropy
    loss = head.loss(z[:, None], y, censored=seen(y))
    np.testing.assert_allclose(loss, expected, rtol=1e-9)


@pytest.mark.parametrize("squared", [False, True])
def test_a_perfect_logit_predicts_the_label(squared: bool, labels: Tensor) -> None:
    label = labels[labels > 0][:200]
    head = build(squared=squared, points=199)
    head.learn(label.float())
    rank = head.rank(label)
    z = (rank - 0.5) * 12**0.5 if squared else rank.logit(eps=1e-12)
    torch.testing.assert_close(head.mean(z[:, None]), label, rtol=1e-6, atol=1e-6)


def test_groups_are_equal_shares_of_a_number_each_with_its_own_distribution() -> None:
    by = torch.rand(3000)
    label = by * 100 + torch.rand(3000)  # In a group, labels lie close together.
    head = build("length", groups=3)
    head.learn(label, by)
    np.testing.assert_allclose(head.edges, np.quantile(by, [1 / 3, 2 / 3]), atol=1e-6)
    for i, edge in enumerate(((0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1))):
        low, high = (np.quantile(by, share) for share in edge)
        inside = (by > low) & (by <= high) if i else by <= high
        grid = np.quantile(label[inside].double(), np.linspace(0, 1, 101))
        np.testing.assert_allclose(head.grid[i], grid, rtol=1e-5)
    rank = head.rank(label.double(), by.double())
    assert rank.mean().item() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(rank, by)[0, 1] < 0.4  # What the group says is taken out of the label ...
    middle = head.mean(torch.zeros(3000, 1).double(), by.double())
    assert np.corrcoef(middle, label)[0, 1] > 0.9  # ... and put back into the prediction.


def test_a_number_that_is_the_same_everywhere_makes_one_group(labels: Tensor) -> None:
    head, alone, by = build("length", groups=4), build(), torch.zeros(2000)
    head.learn(labels.float(), by)
    alone.learn(labels.float())
    assert torch.equal(head.rank(labels, by.double()), alone.rank(labels))


def test_the_best_constant_is_the_middle_rank(labels: Tensor, fit: Fit) -> None:
    head, label = build(), labels[:201]
    start = head.learn(label.float())
    best = fit(head, label, start=torch.ones(1))
    assert best.sigmoid().item() == pytest.approx(0.5, abs=0.01)
    assert head.mean(start.double()[None]).item() == pytest.approx(label.median().item())


@pytest.mark.parametrize("squared", [False, True])
def test_a_censored_row_costs_nothing_more_beyond_its_label(squared: bool, labels: Tensor) -> None:
    head = build(squared=squared)
    head.learn(labels.float())
    y = torch.full((3,), labels.median().item()).double()
    z = torch.tensor([[-0.5], [0.5], [9.0]]).double().requires_grad_()
    loss = head.loss(z, y, censored=~seen(y))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert gradient[0] < 0
    assert (gradient[1:] == 0).all()
    assert loss[1] == loss[2]
