import math
from typing import get_args

import pytest
import torch

from trimtab.balancing.reduction import Denominator, reduce

DENOMINATORS = get_args(Denominator)


def slow(
    loss: list[float], weight: list[float], observed: list[bool], denominator: Denominator
) -> float:
    """Return what the run file's words say, a row after the other."""
    total, below = 0.0, 0.0
    for value, w, seen in zip(loss, weight, observed, strict=True):
        total += w * value
        if denominator == "rows":
            below += 1
        elif denominator == "observed":
            below += 1 if seen else 0
        else:
            below += w if seen else 0
    return total / below if below else 0.0


def draw(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    observed = torch.rand(rows) < 0.6
    loss = torch.where(observed, torch.rand(rows, dtype=torch.float64) * 5, 0.0)
    weight = torch.where(torch.rand(rows) < 0.2, 0.0, torch.rand(rows, dtype=torch.float64) * 3)
    return loss, weight, observed


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("rows", [1, 2, 50])
def test_is_the_slow_one(rows: int, denominator: Denominator) -> None:
    for _ in range(10):
        loss, weight, observed = draw(rows)
        ours = reduce(loss, weight, observed, denominator)
        expected = slow(loss.tolist(), weight.tolist(), observed.tolist(), denominator)
        assert ours.item() == pytest.approx(expected, rel=1e-12)
        assert ours.dtype == torch.float64


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_none_observed_gives_nothing_and_no_gradient(denominator: Denominator) -> None:
    loss = torch.zeros(4, requires_grad=True)
    value = reduce(loss * 1, torch.ones(4), torch.zeros(4, dtype=torch.bool), denominator)
    (gradient,) = torch.autograd.grad(value, loss)
    assert value.item() == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_weights_all_zero_give_nothing(denominator: Denominator) -> None:
    loss = torch.rand(4, requires_grad=True)
    value = reduce(loss, torch.zeros(4), torch.ones(4, dtype=torch.bool), denominator)
    (gradient,) = torch.autograd.grad(value, loss)
    assert value.item() == 0
    assert torch.equal(gradient, torch.zeros(4))


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_no_rows(denominator: Denominator) -> None:
    none = torch.zeros(0)
    assert reduce(none, none, none.bool(), denominator).item() == 0


def test_a_weight_of_all_rows_counts_unless_it_is_divided_out() -> None:
    """A mean over weights makes a common weight a no-op; rows and observed do not."""
    loss, weight, observed = torch.rand(5), torch.ones(5), torch.ones(5, dtype=torch.bool)
    factor = {
        name: (
            reduce(loss, 3 * weight, observed, name) / reduce(loss, weight, observed, name)
        ).item()
        for name in DENOMINATORS
    }
    assert factor == pytest.approx({"rows": 3.0, "observed": 3.0, "weights": 1.0})


def test_by_rows_what_a_row_weighs_does_not_depend_on_missing_ones() -> None:
    loss = torch.tensor([2.0, 0.0, 0.0, 4.0])
    some, every = torch.tensor([True, False, False, True]), torch.ones(4, dtype=torch.bool)
    weight = torch.ones(4)
    assert reduce(loss, weight, some, "rows") == reduce(loss, weight, every, "rows") == 1.5
    assert reduce(loss, weight, some, "observed") == 3
    assert math.isclose(reduce(loss, weight, every, "observed").item(), 1.5)
