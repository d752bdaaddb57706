from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from trimtab.batch import Batch, Ids
from trimtab.features.encoder import FeatureEncoder, IdFeature, length_of
from trimtab.features.inputs import Dense, Inputs
from trimtab.features.row_wise_adagrad import RowWiseAdagrad
from trimtab.layers import initialise

TABLES = {"user": 6, "video": 9, "tag": 4}
SINGLE = [IdFeature(name="user", table="user"), IdFeature(name="video", table="video")]
HISTORY = IdFeature(name="history", table="video", pool="mean", longest=50)
TAGS = IdFeature(name="tags", table="tag", pool="sum", longest=3)
TARGETS = ["click", "like", "play"]
WIDTH, OWN = 4, 2


def encoder(
    single: Sequence[IdFeature] = (),
    lists: Sequence[IdFeature] = (),
    *,
    numbers: int = 0,
    targets: Sequence[str] = TARGETS,
    width: int = WIDTH,
    own_width: int = OWN,
    first_order: bool = True,
    dropout: float = 0.0,
) -> FeatureEncoder:
    used = {feature.table for feature in (*single, *lists)}
    made = FeatureEncoder(
        single,
        lists,
        tables={name: rows for name, rows in TABLES.items() if name in used},
        numbers=[0] * numbers,
        targets=targets,
        width=width,
        own_width=own_width,
        first_order=first_order,
        deviation=0.5,
        dropout=dropout,
    )
    initialise(made, 0)
    return made.double()


def batch(
    single: Sequence[IdFeature] = (),
    lists: Mapping[str, list[list[int]]] | None = None,
    *,
    rows: int = 3,
    numbers: int = 0,
) -> Batch:
    columns = [torch.randint(0, TABLES[f.table], (rows,), dtype=torch.int32) for f in single]
    return Batch(
        ids=torch.stack(columns, 1) if columns else torch.zeros(rows, 0, dtype=torch.int32),
        lists={name: ids(values) for name, values in (lists or {}).items()},
        numbers=torch.randn(rows, numbers, dtype=torch.float64),
        scene=torch.zeros(rows, dtype=torch.int64),
        labels={},
        weights={},
    )


def ids(lists: list[list[int]]) -> Ids:
    return Ids(
        values=torch.tensor([i for one in lists for i in one], dtype=torch.int32),
        lengths=torch.tensor([len(one) for one in lists], dtype=torch.int64),
    )


def slow(made: FeatureEncoder, data: Batch, single: Sequence[IdFeature]) -> Inputs:
    """Row by row, feature by feature, one look into the table at a time."""
    weight, rows = made.tables.weight, []
    for i in range(len(data)):
        pooled = [
            weight[made.tables.offset[f.table] + data.ids[i, k]] for k, f in enumerate(single)
        ]
        for feature in made.lists:
            length = min(int(data.lists[feature.name].lengths[i]), feature.longest)
            pooled.append(weight[made.tables.offset[length_of(feature.name)] + length])
        for feature in made.lists:
            packed = data.lists[feature.name]
            start = int(packed.lengths[:i].sum())
            mine = packed.values[start : start + int(packed.lengths[i])].tolist()
            total = torch.zeros(weight.shape[1], dtype=weight.dtype)
            for value in mine:
                total = total + weight[made.tables.offset[feature.table] + value]
            pooled.append(total / max(len(mine), 1) if feature.pool == "mean" else total)
        rows.append(torch.stack(pooled))
    x = torch.stack(rows)
    first, blocks = 0, {"shared": x[:, :, :0]}
    for block, width in made.tables.blocks.items():
        blocks[block] = x[:, :, first : first + width]
        first += width
    return Inputs(
        x=Dense(torch.cat([blocks["shared"].flatten(1), data.numbers], 1)),
        own={t: blocks[f"own/{t}"] for t in TARGETS if f"own/{t}" in blocks},
        first_order={t: blocks[f"first/{t}"].sum(1) for t in TARGETS if f"first/{t}" in blocks},
        scene=data.scene,
    )


def assert_same(ours: Inputs, theirs: Inputs) -> None:
    torch.testing.assert_close(ours.shared, theirs.shared)
    assert list(ours.own) == list(theirs.own)
    assert list(ours.first_order) == list(theirs.first_order)
    for name, value in theirs.own.items():
        torch.testing.assert_close(ours.own[name], value)
    for name, value in theirs.first_order.items():
        torch.testing.assert_close(ours.first_order[name], value)


def total(inputs: Inputs) -> Tensor:
    parts = [inputs.shared, *inputs.own.values(), *inputs.first_order.values()]
    return sum((part.pow(3).sum() for part in parts), torch.zeros((), dtype=torch.float64))


LISTS = {
    "some": {"history": [[1, 2, 2], [], [8]], "tags": [[0], [3, 3, 3, 1], []]},
    "all empty": {"history": [[], [], []], "tags": [[], [], []]},
    "first empty": {"history": [[], [4], [4]], "tags": [[], [], [2]]},
}


@pytest.mark.parametrize("lists", LISTS.values(), ids=list(LISTS))
@pytest.mark.parametrize("own_width", [0, OWN])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("single", [SINGLE, []], ids=["ids and lists", "lists"])
def test_is_the_slow_one_forwards_and_backwards(
    single: list[IdFeature], own_width: int, first_order: bool, lists: dict[str, list[list[int]]]
) -> None:
    made = encoder(single, [HISTORY, TAGS], numbers=2, own_width=own_width, first_order=first_order)
    data = batch(single, lists, numbers=2)
    ours, theirs = made(data), slow(made, data, single)
    assert_same(ours, theirs)
    assert ours.shared.shape == (3, made.out_width)
    if own_width:
        assert ours.own["like"].flatten(1).shape == (3, made.own_out_width)
    (fast,) = torch.autograd.grad(total(ours), made.tables.weight)
    anchor = 0 * made.tables.weight.sum()  # Nothing is looked up where all lists are empty.
    (expected,) = torch.autograd.grad(total(theirs) + anchor, made.tables.weight)
    torch.testing.assert_close(fast.to_dense(), expected)


def test_only_ids() -> None:
    made, data = encoder(SINGLE), batch(SINGLE, rows=5)
    assert_same(made(data), slow(made, data, SINGLE))
    assert made.out_width == 2 * WIDTH


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("own_width", [0, OWN])
def test_only_numbers(own_width: int, first_order: bool) -> None:
    made = encoder(numbers=3, own_width=own_width, first_order=first_order)
    data = batch(rows=5, numbers=3)
    inputs = made(data)
    assert torch.equal(inputs.shared, data.numbers)
    assert made.out_width == 3
    assert all(torch.equal(v, torch.zeros_like(v)) for v in inputs.first_order.values())
    assert all(v.shape == (5, 1) for v in inputs.first_order.values())


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("own_width", [0, OWN])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("numbers", [0, 2])
def test_no_shared_embeddings(numbers: int, first_order: bool, own_width: int, lists: bool) -> None:
    """With neither numbers nor any embeddings there is nothing to read, and no crash."""
    pooled, packed = ([HISTORY, TAGS], LISTS["some"]) if lists else ([], {})
    made = encoder(
        SINGLE, pooled, numbers=numbers, width=0, own_width=own_width, first_order=first_order
    )
    data = batch(SINGLE, packed, numbers=numbers)
    ours = made(data)
    assert torch.equal(ours.shared, data.numbers)
    assert_same(ours, slow(made, data, SINGLE))
    assert made.out_width == numbers
    none = batch(SINGLE, {name: [] for name in packed}, numbers=numbers, rows=0)
    assert made(none).shared.shape == (0, numbers)


def test_ids_that_repeat_without_shared_embeddings() -> None:
    """No distinct ids are multiplied once where there is nothing to multiply."""
    made, data = encoder(SINGLE, numbers=2, width=0), batch(SINGLE, rows=100, numbers=2)
    layer = torch.nn.Linear(2, 3).double()
    torch.testing.assert_close(made(data).x.project(layer), layer(data.numbers))
    assert_same(made(data), slow(made, data, SINGLE))


def test_tables_without_shared_embeddings_are_trained() -> None:
    made, data = encoder(SINGLE, numbers=2, width=0), batch(SINGLE, rows=5, numbers=2)
    before = made.tables.weight.detach().clone()
    optimizer = RowWiseAdagrad(
        [made.tables.weight], blocks=list(made.tables.blocks.values()), learning_rate=0.1
    )
    total(made(data)).backward()
    optimizer.step()
    assert made.tables.weight.isfinite().all()
    assert not torch.equal(made.tables.weight, before)
    assert optimizer.state[made.tables.weight]["sum"].isfinite().all()


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row(rows: int) -> None:
    made = encoder(SINGLE, [HISTORY, TAGS], numbers=2)
    data = batch(SINGLE, {"history": [[1, 2]] * rows, "tags": [[]] * rows}, rows=rows, numbers=2)
    inputs = made(data)
    assert inputs.shared.shape == (rows, 6 * WIDTH + 2)
    assert inputs.own["click"].shape == (rows, 6, OWN)
    assert inputs.first_order["click"].shape == (rows, 1)
    total(inputs).backward()


def test_no_features_in_a_batch_of_no_rows() -> None:
    assert encoder(numbers=2)(batch(rows=0, numbers=2)).shared.shape == (0, 2)


def test_a_list_adds_into_the_rows_of_the_table_that_it_shares() -> None:
    """The id of the row and the ids of its history are rows of one table, with one gradient."""
    single = [IdFeature(name="video", table="video")]
    made = encoder(single, [HISTORY], targets=[], own_width=0, first_order=False)
    data = Batch(
        ids=torch.tensor([[5], [2]], dtype=torch.int32),
        lists={"history": ids([[5, 7], [5, 5, 2, 2]])},
        numbers=torch.zeros(2, 0, dtype=torch.float64),
        scene=torch.zeros(2, dtype=torch.int64),
        labels={},
        weights={},
    )
    made(data).shared.sum().backward()
    expected = torch.zeros(9, WIDTH, dtype=torch.float64)
    expected[5] = 1 + 1 / 2 + 2 / 4
    expected[2] = 1 + 2 / 4
    expected[7] = 1 / 2
    assert made.tables.weight.grad is not None
    torch.testing.assert_close(made.tables.weight.grad.to_dense()[:9], expected)


def test_features_of_one_table_read_it_at_the_same_rows() -> None:
    pair = [IdFeature(name="from", table="user"), IdFeature(name="to", table="user")]
    made = encoder(pair, targets=[], own_width=0, first_order=False)
    data = batch(pair, rows=4)
    left, right = made(data).shared.chunk(2, 1)
    torch.testing.assert_close(left, made.tables.weight[data.ids[:, 0]])
    torch.testing.assert_close(right, made.tables.weight[data.ids[:, 1]])


def test_rows_do_not_see_each_other() -> None:
    made = encoder(SINGLE, [HISTORY, TAGS], numbers=2)
    data = batch(SINGLE, LISTS["some"], numbers=2)
    whole = made(data)
    for i in range(3):
        lists = {name: ids([values[i]]) for name, values in LISTS["some"].items()}
        row = Batch(
            ids=data.ids[i : i + 1],
            lists=lists,
            numbers=data.numbers[i : i + 1],
            scene=data.scene[i : i + 1],
            labels={},
            weights={},
        )
        torch.testing.assert_close(made(row).shared, whole.shared[i : i + 1])


@pytest.mark.parametrize("fields", [2, 5, 9, 20])
def test_a_targets_sum_is_rounded_alike_beside_any_number_of_targets(fields: int) -> None:
    single = [IdFeature(name=f"f{i}", table="video") for i in range(fields)]
    data = batch(single, rows=50)
    sums = []
    for others in range(12):
        targets = ["click", *(f"other{i}" for i in range(others))]
        made = encoder(single, targets=targets).float()
        sums.append(made(data).first_order["click"])
    assert all(torch.equal(one, sums[0]) for one in sums)


def test_dropout_spares_the_first_order_and_evaluation() -> None:
    made, data = encoder(SINGLE, numbers=2, dropout=0.5), batch(SINGLE, rows=200, numbers=2)
    kept = made.eval()(data)
    dropped = made.train()(data)
    share = (dropped.shared == 0).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(
        dropped.shared[dropped.shared != 0], 2 * kept.shared[dropped.shared != 0]
    )
    assert torch.equal(dropped.first_order["click"], kept.first_order["click"])
    assert torch.equal(made.eval()(data).shared, kept.shared)
