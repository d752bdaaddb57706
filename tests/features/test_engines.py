"""What every engine on this machine owes, against loops of a few lines."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from trimtab.errors import SettingsError, SlowerWarning
from trimtab.features.encoder import FeatureEncoder
from trimtab.features.engines import Engine, PyTorch, engines
from trimtab.features.engines.native import native_or_torch
from trimtab.features.lookup import Bags, Lookup
from trimtab.features.settings import EmbeddingSettings
from trimtab.features.tables import expand, pool, project
from trimtab.native.compiler import compiled, library

PROCESSOR = torch.device("cpu")
ROWS = {
    "mixed": [3, 20, 3, 0, 7, 3, 20, 11],
    "one": [5],
    "all the same": [2] * 9,
    "all different": [4, 3, 2, 1, 0],
    "none": [],
}


def built(kind: str) -> Engine:
    try:
        return engines[kind]().build(PROCESSOR)
    except SettingsError as error:
        pytest.skip(str(error))


@pytest.fixture(params=sorted(engines))
def engine(request: pytest.FixtureRequest) -> Engine:
    return built(request.param)


def places(lookup: Lookup) -> list[int]:
    """Return the distinct row at each wanted place."""
    spread = lookup.spread(lookup.distinct[:, None].float())
    return [int(row) for row in spread[:, 0]]


@pytest.mark.parametrize("rows", ROWS.values(), ids=list(ROWS))
def test_each_different_row_is_found_once(engine: Engine, rows: list[int]) -> None:
    lookup = engine.lookup(torch.tensor(rows, dtype=torch.int32), None)
    assert sorted(lookup.distinct.tolist()) == sorted(set(rows))
    assert lookup.total == len(rows)
    assert lookup.counts == (len(set(rows)),)
    assert places(lookup) == rows


@pytest.mark.parametrize("rows", ROWS.values(), ids=list(ROWS))
@pytest.mark.parametrize("width", [1, 4, 16, 21, 64])
def test_equal_rows_are_added_up(engine: Engine, rows: list[int], width: int) -> None:
    lookup = engine.lookup(torch.tensor(rows, dtype=torch.int32), None)
    distinct = torch.randn(len(set(rows)), width, requires_grad=True)
    weight = torch.randn(len(rows), width)
    (expand(distinct, lookup) * weight).sum().backward()
    for row, gradient in zip(lookup.distinct.tolist(), distinct.grad, strict=True):
        mine = [i for i, other in enumerate(rows) if other == row]
        torch.testing.assert_close(gradient, weight[mine].sum(0))


def bags_of(lengths: Tensor) -> Bags:
    """Return bags of these lengths, with weights from -1 to 2."""
    return Bags(
        starts=lengths.cumsum(0) - lengths,
        of=torch.repeat_interleave(lengths),
        weights=torch.linspace(-1, 2, int(lengths.sum())),
    )


BAGS = {"each": [1] * 6, "some empty": [0, 2, 0, 3, 1, 0], "one": [6], "rows of none": [0, 0]}


@pytest.mark.parametrize("lengths", BAGS.values(), ids=list(BAGS))
@pytest.mark.parametrize("width", [1, 16, 21])
def test_bags_are_sums_of_weighted_rows(engine: Engine, lengths: list[int], width: int) -> None:
    rows = torch.tensor([4, 2, 4, 4, 0, 2], dtype=torch.int32)[: sum(lengths)]
    lookup, bags = engine.lookup(rows, None), bags_of(torch.tensor(lengths))
    distinct = torch.randn(len(lookup.distinct), width, requires_grad=True)
    upstream = torch.randn(len(lengths), width)
    wanted = expand(distinct, lookup) * bags.weights[:, None]
    parts = wanted.split(lengths)
    slow = torch.stack([part.sum(0) for part in parts])
    fast = pool(distinct, lookup, bags)
    torch.testing.assert_close(fast, slow)
    for one, other in zip(
        torch.autograd.grad((fast * upstream).sum(), distinct),
        torch.autograd.grad((slow * upstream).sum(), distinct),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [0, 1, 3, 300])
@pytest.mark.parametrize(
    ("width", "wide"),
    [(16, 64), (4, 6), (16, 16), (20, 70), (1, 1), (33, 128), (16, 300), (4, 515), (8, 0)],
)
@pytest.mark.parametrize("numbers", [0, 3])
def test_a_projection_is_the_product_over_all_rows(
    engine: Engine, size: int, width: int, wide: int, numbers: int
) -> None:
    sizes = [7, 1, 200, 30]
    columns = torch.tensor([0, 7, 8, 208], dtype=torch.int32)
    rows = torch.stack([torch.randint(0, s, (size,)) for s in sizes], 1).int() + columns
    lookup = engine.lookup(rows.flatten(), columns)
    assert lookup.counts == tuple(len(column.unique()) for column in rows.t())
    distinct = torch.randn(len(lookup.distinct), width, requires_grad=True)
    weight = torch.randn(wide, 4 * width + numbers, requires_grad=True)
    bias, n = torch.randn(wide, requires_grad=True), torch.randn(size, numbers)
    upstream = torch.randn(size, wide)

    def gradients(out: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((out * upstream).sum(), [distinct, weight, bias])

    fast = project(distinct, weight, bias, n, lookup)
    slow = linear(torch.cat([lookup.spread(distinct).view(size, 4 * width), n], 1), weight, bias)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)
    place = {row: i for i, row in enumerate(lookup.distinct.tolist())}
    by_hand = torch.tensor([place[int(row)] for row in rows.flatten()], dtype=torch.long)
    slow = linear(torch.cat([distinct[by_hand].view(size, 4 * width), n], 1), weight, bias)
    for one, other in zip(gradients(fast), gradients(slow), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("longest", [None, 2.0])
@pytest.mark.parametrize("blocks", [[4], [16, 4, 4, 1, 1], [2, 2, 2], [1], [3, 1, 3]], ids=str)
def test_an_update_is_row_wise_adagrad(
    engine: Engine, blocks: list[int], decay: float, longest: float | None
) -> None:
    tables = engine.tables({"a": 9}, {str(i): width for i, width in enumerate(blocks)}, 0.5)
    tables.reset_parameters()
    optimizer = engine.optimizer(tables, learning_rate=0.1, weight_decay=decay, longest=longest)
    weight, sums = tables.read().clone(), torch.zeros(9, len(blocks))
    for rows in ([0, 3, 3, 8], [3, 3, 3], [5], [], [1, 0, 1, 7, 7]):
        upstream = torch.randn(len(rows), sum(blocks))
        optimizer.zero_grad()
        out = tables(engine.lookup(torch.tensor(rows, dtype=torch.int32), None))
        (out * upstream).sum().backward()
        optimizer.step()
        for row in set(rows):
            g = upstream[[i for i, other in enumerate(rows) if other == row]].sum(0)
            g = g * min(1.0, (longest or torch.inf) / float(g.norm())) + decay * weight[row]
            for b, part in enumerate(g.split(blocks)):
                sums[row, b] += part.square().mean()
                step = 0.1 * part / (sums[row, b].sqrt() + 1e-8)
                weight[row, sum(blocks[:b]) : sum(blocks[: b + 1])] -= step
    torch.testing.assert_close(tables.read(), weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(optimizer.state[tables.weight]["sum"], sums, rtol=1e-5, atol=1e-6)


def test_threads_do_not_change_a_bit_of_native() -> None:
    engine = built("native")
    columns = torch.tensor([0, 50, 100], dtype=torch.int32)
    rows = (torch.randint(0, 50, (400, 3)).int() + columns).flatten()
    found, before = [], torch.get_num_threads()
    weight, gradient = torch.randn(130, 12), torch.randn(400, 130)
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        lookup = engine.lookup(rows, columns)
        distinct = lookup.distinct[:, None] * torch.linspace(0.1, 1, 4)
        out = lookup.project(distinct, weight, torch.zeros(400, 130))
        found.append([lookup.distinct, out, *lookup.project_back(distinct, weight, gradient)])
        lookup, bags = engine.lookup(rows, None), bags_of(torch.full((400,), 3))
        pooled = lookup.pool(lookup.distinct[:, None] * torch.linspace(0.1, 1, 20), bags)
        found[-1] += [pooled, lookup.pool_back(pooled, bags)]
    torch.set_num_threads(before)
    for parts in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(parts, found[0], strict=True))


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="no C\\+\\+ compiler"):
        compiled([tmp_path / "loops.cpp"])


def test_a_failing_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "loops.cpp"
    source.write_text("no such thing;")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    with pytest.raises(SettingsError, match="failed"):
        compiled([source])
    assert list((tmp_path / "kept" / "trimtab").iterdir()) == []


def test_auto_is_native_where_there_is_a_compiler_and_a_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    auto = EmbeddingSettings().engine
    assert type(auto.build(PROCESSOR)) is type(built("native"))
    assert type(auto.build(torch.device("cuda"))) is PyTorch
    monkeypatch.setenv("PATH", str(tmp_path))
    for cached in (library, native_or_torch):
        cached.cache_clear()
    with pytest.warns(SlowerWarning, match="no C\\+\\+ compiler.*half the speed"):
        assert type(auto.build(PROCESSOR)) is PyTorch
    for kind in engines:
        assert type(engines[kind]().serve(PROCESSOR)) is PyTorch
    native_or_torch.cache_clear()


def test_native_on_a_gpu_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="processor; found cuda"):
        engines["native"]().build(torch.device("cuda"))


def test_a_model_in_another_precision_is_refused_by_name() -> None:
    native = built("native")
    tables = native.tables({"a": 3}, {"x": 2}, 0.1).double()
    with pytest.raises(SettingsError, match="float32"):
        tables(native.lookup(torch.tensor([1], dtype=torch.int32), None))


def test_an_encoder_has_plain_pytorch_unless_it_is_told() -> None:
    made = FeatureEncoder(
        [],
        [],
        tables={},
        numbers=[0],
        targets=["a"],
        width=0,
        own_width=0,
        first_order=False,
        deviation=0.1,
        dropout=0.0,
    )
    assert type(made.engine) is PyTorch
