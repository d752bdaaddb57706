"""FBGEMM's tables: against a reference of five lines, and the traps that TBE sets."""

import sys
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from trimtab.errors import SettingsError
from trimtab.features.engines import FbgemmSettings
from trimtab.features.engines.fbgemm import Fbgemm
from trimtab.features.tables import Tables

BLOCKS = {"shared": 16, "own/a": 3, "own/b": 3, "first/a": 1}
ROWS = [[0, 3, 3, 8], [3, 3, 3], [], [5], [1, 0, 1, 7, 7]]


def built(**settings: str) -> Fbgemm:
    try:
        return FbgemmSettings.model_validate(settings).build(torch.device("cpu"))
    except SettingsError as error:
        pytest.skip(str(error))


def started(engine: Fbgemm) -> Tables:
    tables = engine.tables({"user": 5, "item": 4}, BLOCKS, 0.5)
    torch.manual_seed(1)
    tables.reset_parameters()
    return tables


def looked_up(engine: Fbgemm, tables: Tables, rows: list[int]) -> Tensor:
    out: Tensor = tables(engine.lookup(torch.tensor(rows, dtype=torch.int32), None))
    return out


def reference(
    weight: Tensor, sums: Tensor, gradient: Tensor, row: int, blocks: list[int], decay: float
) -> None:
    """Step in place: one Adagrad step size for each of ``blocks``."""
    g = gradient + decay * weight[row]
    means = [part.square().mean().expand(len(part)) for part in g.split(blocks)]
    sums[row] += torch.cat(means)
    weight[row] -= 0.1 * g / (sums[row].sqrt() + 1e-8)


@pytest.mark.parametrize("longest", [None, 2.0])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("precision", ["float32", "fp16"])
@pytest.mark.parametrize("optimizer", ["row_wise_adagrad", "adagrad"])
def test_updates_are_the_references(
    optimizer: str, precision: str, decay: float, longest: float | None
) -> None:
    engine = built(optimizer=optimizer, precision=precision)
    tables = started(engine)
    adagrad = engine.optimizer(tables, learning_rate=0.1, weight_decay=decay, longest=longest)
    weight, sums = tables.read().float(), torch.zeros(9, 23)
    blocks = list(BLOCKS.values()) if optimizer == "row_wise_adagrad" else [1] * 23
    for rows in ROWS:
        upstream = torch.randn(len(rows), 23)
        adagrad.zero_grad()
        out = looked_up(engine, tables, rows)
        torch.testing.assert_close(out, tables.read().float()[rows], rtol=0, atol=0)
        (out * upstream).sum().backward()
        adagrad.step()
        for row in set(rows):
            g = upstream[[i for i, other in enumerate(rows) if other == row]].sum(0)
            g = g * min(1.0, (longest or torch.inf) / float(g.norm()))
            reference(weight, sums, g, row, blocks, decay)
    close = {"rtol": 1e-5, "atol": 1e-6} if precision == "float32" else {"rtol": 0, "atol": 5e-3}
    torch.testing.assert_close(tables.read().float(), weight, **close)
    ends = torch.tensor(blocks).cumsum(0)
    torch.testing.assert_close(
        adagrad.state[tables.weight]["sum"], sums[:, ends - 1], rtol=close["atol"], atol=1e-2
    )


@pytest.mark.parametrize("row", [9, -1, 1_000])
def test_rows_that_are_not_there_are_refused_and_not_row_0(row: int) -> None:
    engine = built()
    tables = started(engine)
    with pytest.raises(IndexError, match=f"{row}.* of 9"):
        looked_up(engine, tables, [3, row])


def test_two_backwards_are_one_update_by_their_sum() -> None:
    engine = built()
    once, twice = started(engine), started(engine)
    upstream = torch.randn(2, 3, 23)
    for tables, parts in ((once, [upstream.sum(0)]), (twice, upstream)):
        adagrad = engine.optimizer(tables, learning_rate=0.1)
        before, out = tables.read(), looked_up(engine, tables, [0, 4, 4])
        for part in parts:
            (out * part).sum().backward(retain_graph=True)
        assert torch.equal(tables.read(), before)  # A backward alone changes nothing.
        adagrad.step()
    torch.testing.assert_close(twice.read(), once.read())
    assert not torch.equal(twice.read(), before)


def test_what_is_saved_has_the_layout_of_the_other_engines() -> None:
    engine = built()
    tables = started(engine)
    saved = tables.state_dict()
    assert list(saved) == ["weight"]
    assert saved["weight"].shape == tables.weight.shape == (9, 23)
    other = engine.tables({"user": 5, "item": 4}, BLOCKS, 0.5)
    other.load_state_dict(saved)
    assert torch.equal(other.read(), saved["weight"])
    with pytest.raises(RuntimeError, match="weight"):
        other.load_state_dict({})
    with pytest.raises(RuntimeError, match=r"\(8, 23\)"):
        other.load_state_dict({"weight": saved["weight"][1:]})


def test_any_columns_of_any_rows_are_written() -> None:
    tables = started(built())
    expected = tables.read()
    for columns in (slice(None), slice(2, 5), slice(14, 21), slice(22, 23), slice(3, 3)):
        values = torch.randn(4, len(range(23)[columns]))
        expected[2:6, columns] = values
        tables.write(slice(2, 6), columns, values)
        assert torch.equal(tables.read(), expected)


def test_fp16_tables_take_half_the_memory_and_are_looked_up_as_float32() -> None:
    engine = built(precision="fp16")
    tables = started(engine)
    assert dict(tables.named_buffers())["memory"].nbytes == 9 * 23 * 2
    assert tables.read().dtype == torch.float16
    assert looked_up(engine, tables, [1]).dtype == torch.float32


def test_a_copy_is_a_table_of_its_own() -> None:
    tables = started(built())
    copy, before = deepcopy(tables), tables.read()
    copy.write(slice(None), slice(None), torch.zeros(9, 23))
    assert torch.equal(tables.read(), before)


def test_another_precision_is_refused_by_name() -> None:
    engine = built()
    tables = started(engine).double()
    with pytest.raises(SettingsError, match="float64"):
        looked_up(engine, tables, [1])


@pytest.mark.parametrize("kind", ["missing", "unfit"])
def test_a_missing_package_is_said(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise OSError("undefined symbol: x")

    if kind == "missing":
        monkeypatch.setitem(sys.modules, "fbgemm_gpu", None)
    else:
        monkeypatch.setattr("trimtab.features.engines.fbgemm.import_module", fails)
    with pytest.raises(SettingsError, match=r"pip install 'trimtab\[fbgemm\]'"):
        FbgemmSettings().build(torch.device("cpu"))
