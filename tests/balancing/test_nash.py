import pytest
import torch
from torch import Tensor

from trimtab.balancing.nash import bargain


def products(rows: Tensor) -> Tensor:
    gramian = rows @ rows.t()
    return gramian / gramian.trace()


@pytest.mark.parametrize("targets", [1, 2, 5])
def test_it_is_the_bargain(targets: int) -> None:
    """``f_t (G f)_t`` in the ratio of the weights, all of them above 0."""
    rows, weight = torch.randn(targets, 9).double(), torch.rand(targets).double() + 0.1
    gramian = products(rows)
    factors = bargain(gramian, weight)
    assert (factors > 0).all()
    share = factors * (gramian @ factors) / weight
    torch.testing.assert_close(share, share.mean().expand(targets), rtol=1e-4, atol=0)


def test_no_direction_is_better_by_the_product_of_gains() -> None:
    rows, weight = torch.randn(3, 6).double(), torch.tensor([1.0, 2.0, 0.5]).double()

    def gain(direction: Tensor) -> Tensor:
        return (weight * (rows @ (direction / direction.norm())).log()).sum()

    best = bargain(products(rows), weight) @ rows
    near = [gain(best + 0.1 * torch.randn(6).double() * best.norm()) for _ in range(200)]
    assert all(other.isnan() or other <= gain(best) for other in near)


def test_at_right_angles_nothing_changes() -> None:
    factors = bargain(products(torch.eye(4).double()), torch.ones(4).double())
    torch.testing.assert_close(factors, torch.ones(4).double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("second", [[1.0, 0.0], [-1.0, 0.0], [1e-6, 0.0], [-1e4, 1.0]])
def test_gradients_in_line_have_a_bargain_too(second: list[float]) -> None:
    rows = torch.tensor([[1.0, 0.0], second]).double()
    factors = bargain(products(rows), torch.ones(2).double())
    assert factors.isfinite().all()
    assert (factors > 0).all()
