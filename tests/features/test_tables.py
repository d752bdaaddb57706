import pytest
import torch
from torch import Tensor, nn

from trimtab.features.engines.pytorch import SortedLookup as Lookup
from trimtab.features.tables import ArrayTables, Tables
from trimtab.layers import initialise

TABLES = {"user": 7, "video": 11, "tag": 3}
BLOCKS = {"shared": 4, "own/click": 2, "first/click": 1}
ROWS = {
    "mixed": [3, 20, 3, 0, 7, 3, 20, 11],
    "one": [5],
    "all the same": [2] * 9,
    "all different": [4, 3, 2, 1, 0],
    "none": [],
}


def tables(dtype: torch.dtype = torch.float64) -> Tables:
    made = ArrayTables(TABLES, BLOCKS, 0.5)
    initialise(made, 0)
    return made.to(dtype)


@pytest.mark.parametrize("ids", [torch.int32, torch.int64])
@pytest.mark.parametrize("rows", ROWS.values(), ids=list(ROWS))
def test_lookup_says_where_each_row_stands(rows: list[int], ids: torch.dtype) -> None:
    lookup = Lookup.of(torch.tensor(rows, dtype=ids))
    assert lookup.distinct.tolist() == sorted(set(rows))
    ends = [*lookup.starts.tolist()[1:], len(rows)] if rows else []
    places = [lookup.order[a:b].tolist() for a, b in zip(lookup.starts.tolist(), ends, strict=True)]
    expected = [[i for i, row in enumerate(rows) if row == r] for r in sorted(set(rows))]
    assert places == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ids", [torch.int32, torch.int64])
@pytest.mark.parametrize("rows", ROWS.values(), ids=list(ROWS))
def test_gathers_and_differentiates_like_an_embedding(
    rows: list[int], ids: torch.dtype, dtype: torch.dtype
) -> None:
    ours = tables(dtype)
    twin = nn.Embedding.from_pretrained(ours.weight.detach().clone(), freeze=False)
    wanted = torch.tensor(rows, dtype=ids)
    weights = torch.randn(len(rows), sum(BLOCKS.values()), dtype=dtype)
    a, b = ours(Lookup.of(wanted)), twin(wanted)
    assert torch.equal(a, b)
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    gradient = ours.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    # Autograd drops the mark "coalesced"; what the optimiser needs is each row once, rising.
    assert gradient._indices()[0].tolist() == sorted(set(rows))
    torch.testing.assert_close(gradient.to_dense(), twin.weight.grad)


def test_a_strided_gradient_is_summed_too() -> None:
    ours = tables()
    rows = torch.tensor([1, 1, 2])
    ours(Lookup.of(rows)).t().contiguous().t().mul(2).sum().backward()
    expected = torch.zeros_like(ours.weight)
    expected[1], expected[2] = 4, 2
    assert torch.equal(ours.weight.grad.to_dense(), expected)  # type: ignore[union-attr]


def test_a_table_lies_after_the_other() -> None:
    ours = tables()
    assert ours.offset == {"user": 0, "video": 7, "tag": 18}
    assert ours.weight.shape == (21, 7)


def part(made: Tables, table: str, block: str) -> Tensor:
    row, column = made.offset[table], 0
    for name, width in made.blocks.items():
        if name == block:
            return made.weight.detach()[row : row + made.tables[table], column : column + width]
        column += width
    raise KeyError(block)


def test_start_is_normal_with_the_deviation() -> None:
    made = ArrayTables({"user": 20_000}, {"shared": 8}, 0.01)
    initialise(made, 3)
    assert made.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert made.weight.std().item() == pytest.approx(0.01, rel=0.01)


def test_start_depends_on_the_names_alone() -> None:
    small = tables()
    large = ArrayTables(
        {"new": 5, "video": 11, "tag": 3, "user": 7},
        {"shared": 4, "own/like": 2, "own/click": 2, "first/like": 1, "first/click": 1},
        0.5,
    )
    initialise(large, 0)
    for table in TABLES:
        for block in BLOCKS:
            assert torch.equal(part(large, table, block).double(), part(small, table, block))
    assert not torch.equal(part(large, "user", "own/like"), part(large, "user", "own/click"))
    assert not torch.equal(part(large, "new", "shared")[:3], part(large, "tag", "shared"))
    other = ArrayTables(TABLES, BLOCKS, 0.5)
    initialise(other, 1)
    assert not torch.equal(other.weight.double(), small.weight)


def test_no_table_at_all() -> None:
    made = ArrayTables({}, BLOCKS, 0.1)
    initialise(made, 0)
    out = made(Lookup.of(torch.zeros(0, dtype=torch.int32)))
    assert out.shape == (0, 7)
    out.sum().backward()


@pytest.mark.parametrize("width", [1, 3, 16])
@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 79, 80, 200])
def test_a_start_drawn_in_slices_is_the_one_drawn_at_once(
    rows: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sliced = (ArrayTables({"a": rows, "b": 5}, {"shared": width}, 0.1) for _ in range(2))
    torch.manual_seed(3)
    whole.reset_parameters()
    monkeypatch.setattr("trimtab.features.tables._SLICE", 16)
    sliced.reset_parameters()
    assert torch.equal(whole.weight, sliced.weight)
