from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from trimtab.features.engines.pytorch import SortedLookup as Lookup
from trimtab.features.row_wise_adagrad import RowWiseAdagrad
from trimtab.features.tables import ArrayTables
from trimtab.layers import initialise

RATE, EPS = 0.1, 1e-8
LAYOUTS = [[4], [4, 2, 2, 1, 1, 1], [2, 2, 2], [1], [3, 1, 3]]


def reference(
    weight: NDArray[np.float64],
    sums: NDArray[np.float64],
    gradient: dict[int, NDArray[np.float64]],
    blocks: Sequence[int],
    decay: float,
) -> None:
    """Step in place: one Adagrad step size a row and block."""
    edges = np.cumsum([0, *blocks])
    for row, g in gradient.items():
        g = g + decay * weight[row]
        for b, (first, last) in enumerate(zip(edges, edges[1:], strict=False)):
            sums[row, b] += (g[first:last] ** 2).mean()
            weight[row, first:last] -= RATE * g[first:last] / (np.sqrt(sums[row, b]) + EPS)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("blocks", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
def test_steps_are_the_references(
    blocks: list[int], decay: float, dtype: torch.dtype, tolerance: float
) -> None:
    tables = ArrayTables({"a": 5, "b": 4}, {str(i): width for i, width in enumerate(blocks)}, 0.5)
    initialise(tables, 0)
    tables.to(dtype)
    optimizer = RowWiseAdagrad(
        [tables.weight], blocks=blocks, learning_rate=RATE, weight_decay=decay, eps=EPS
    )
    weight = tables.weight.detach().double().numpy().copy()
    sums = np.zeros((9, len(blocks)))
    for step in range(6):
        rows = torch.tensor(
            [[0, 3, 3, 8], [3, 3, 3], [5], [], [1, 0, 1, 7, 7], [8, 3]][step]
        ).long()
        upstream = torch.randn(len(rows), sum(blocks), dtype=dtype)
        optimizer.zero_grad()
        (tables(Lookup.of(rows)) * upstream).sum().backward()
        optimizer.step()
        gradient: dict[int, NDArray[np.float64]] = {}
        for row, g in zip(rows.tolist(), upstream.double().numpy(), strict=True):
            gradient[row] = gradient.get(row, np.zeros(sum(blocks))) + g
        reference(weight, sums, gradient, blocks, decay)
    np.testing.assert_allclose(
        tables.weight.detach().double().numpy(), weight, rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(
        optimizer.state[tables.weight]["sum"].double().numpy(), sums, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_rows_not_touched_stay_as_they_are(decay: float) -> None:
    tables = ArrayTables({"a": 9}, {"x": 3, "y": 2}, 0.5)
    initialise(tables, 0)
    before = tables.weight.detach().clone()
    optimizer = RowWiseAdagrad(
        [tables.weight], blocks=[3, 2], learning_rate=RATE, weight_decay=decay
    )
    for _ in range(3):
        optimizer.zero_grad()
        tables(Lookup.of(torch.tensor([1, 4, 4]))).square().sum().backward()
        optimizer.step()
    touched = torch.zeros(9, dtype=torch.bool)
    touched[[1, 4]] = True
    assert torch.equal(tables.weight[~touched], before[~touched])
    assert (tables.weight[touched] != before[touched]).all()
    assert (optimizer.state[tables.weight]["sum"][~touched] == 0).all()


def test_a_block_without_a_gradient_stays_while_the_others_move() -> None:
    tables = ArrayTables({"a": 4}, {"x": 3, "y": 2}, 0.5)
    initialise(tables, 0)
    before = tables.weight.detach().clone()
    optimizer = RowWiseAdagrad([tables.weight], blocks=[3, 2], learning_rate=RATE)
    tables(Lookup.of(torch.tensor([0, 1, 1])))[:, :3].sum().backward()
    optimizer.step()
    assert torch.equal(tables.weight[:, 3:], before[:, 3:])
    assert (tables.weight[:2, :3] != before[:2, :3]).all()


def test_nothing_to_do_without_a_gradient() -> None:
    table = nn.Parameter(torch.randn(3, 2))
    before = table.detach().clone()
    RowWiseAdagrad([table], blocks=[2], learning_rate=RATE).step()
    assert torch.equal(table, before)


def test_a_row_of_width_one_is_adagrad() -> None:
    """Against PyTorch's own, where rows and entries are the same thing."""
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 5)[:, None]) for _ in range(2))
    a = RowWiseAdagrad([ours], blocks=[1], learning_rate=RATE, eps=1e-10)
    b = torch.optim.Adagrad([theirs], lr=RATE, eps=1e-10)
    for _ in range(5):
        gradient = torch.randn(5, 1)
        theirs.grad = gradient.clone()
        ours.grad = gradient.to_sparse(1).coalesce()
        a.step()
        b.step()
    torch.testing.assert_close(ours, theirs)


def test_its_state_can_be_saved_and_restored() -> None:
    def start() -> tuple[nn.Parameter, RowWiseAdagrad]:
        table = nn.Parameter(torch.arange(8.0).view(4, 2))
        return table, RowWiseAdagrad([table], blocks=[2], learning_rate=RATE)

    def step(table: nn.Parameter, optimizer: RowWiseAdagrad, i: int) -> None:
        values = torch.full((2, 2), 1.0 + i)
        table.grad = torch.sparse_coo_tensor(
            torch.tensor([[0, i]]), values, (4, 2), is_coalesced=True, check_invariants=False
        )
        optimizer.step()

    table, optimizer = start()
    step(table, optimizer, 1)
    again, restored = start()
    again.data.copy_(table.data)
    restored.load_state_dict(deepcopy(optimizer.state_dict()))
    step(table, optimizer, 2)
    step(again, restored, 2)
    assert torch.equal(table, again)
