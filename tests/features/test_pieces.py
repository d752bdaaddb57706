"""Numbers that count buckets, expanded into a number a bucket."""

import pytest
import torch

from trimtab.features.pieces import Pieces


def slow(counts: list[int], row: list[float]) -> list[float]:
    """One number and one bucket at a time."""
    out = []
    for count, number in zip(counts, row, strict=True):
        out += [min(max(number - k, 0.0), 1.0) for k in range(count)] if count else [number]
    return out


def test_a_bucket_below_the_value_is_1_and_its_own_is_a_share() -> None:
    assert Pieces([4])(torch.tensor([[2.25]])).tolist() == [[1.0, 1.0, 0.25, 0.0]]


@pytest.mark.parametrize("counts", [[], [0], [3], [1], [0, 3, 0], [2, 0, 4], [0, 0]])
def test_it_equals_the_slow_twin(counts: list[int]) -> None:
    numbers = torch.rand(50, len(counts), dtype=torch.float64) * 5 - 0.5
    found = Pieces(counts)(numbers)
    made = [slow(counts, row.tolist()) for row in numbers]
    torch.testing.assert_close(found, torch.tensor(made, dtype=torch.float64).view(found.shape))
    assert found.shape == (50, Pieces(counts).out_width)


def test_numbers_that_are_read_as_they_are_are_not_copied() -> None:
    numbers = torch.randn(3, 2)
    assert Pieces([0, 0])(numbers) is numbers


def test_no_rows() -> None:
    assert Pieces([0, 3])(torch.zeros(0, 2)).shape == (0, 4)


def test_a_linear_layer_over_the_pieces_is_a_piecewise_linear_function() -> None:
    slopes = torch.tensor([2.0, -1.0, 0.5])
    at = torch.linspace(0, 3, 31)
    expected = torch.where(at < 1, 2 * at, torch.where(at < 2, 3 - at, 0.5 * at))
    torch.testing.assert_close(Pieces([3])(at[:, None]) @ slopes, expected)
