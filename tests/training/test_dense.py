import contextlib
import functools
import subprocess
import sys
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from trimtab.batch import Batch
from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.errors import SettingsError
from trimtab.training import dense
from trimtab.training.build import build_state
from trimtab.training.dense import can_compile
from trimtab.training.state import State
from trimtab.trunks import trunks

ROWS = 64


def state(
    engine: str = "torch", trunk: str = "shared_bottom", **training: Any
) -> tuple[State, Batch]:
    rows = 4 * ROWS
    frame = pl.DataFrame(
        {
            "user": [i % 7 for i in range(rows)],
            "item": [i * i % 11 for i in range(rows)],
            "click": [float(i % 3 == 0) for i in range(rows)],
            "play": [float(i % 5) for i in range(rows)],
            "tab": [i % 3 for i in range(rows)],
        }
    )
    settings = parse(
        {
            "data": {"valid": 0.25},
            "features": {"user": "id", "item": "id"},
            "targets": {"click": "binary", "play": {"kind": "number"}},
            "embedding": {"engine": engine},
            "scenes": {"column": "tab", "cover": [0], "stream": [1]},
            "trunk": {"kind": trunk},
            "training": {"batch_rows": ROWS, "device": "cpu", **training},
        }
    )
    prepared = prepare(settings.plan(), frame)
    index = torch.arange(ROWS).numpy()
    return build_state(settings, prepared), prepared.train.batch(index)


def gradients(made: State, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    losses, _ = made.forward(batch)
    made.balancer.combine(losses).backward()
    found = {n: p.grad.to_dense() for n, p in made.model.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in losses.items()}, found


@pytest.mark.parametrize("trunk", sorted(trunks))
def test_bf16_is_close_and_keeps_losses_and_weights_in_float32(trunk: str) -> None:
    plain, batch = state(trunk=trunk)
    try:
        fast, _ = state(trunk=trunk, precision="bf16")
    except SettingsError as error:
        pytest.skip(str(error))
    losses, slopes = gradients(plain, batch)
    found, found_slopes = gradients(fast, batch)
    for name, loss in losses.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], loss, rtol=0.02, atol=0.02)
    assert {slope.dtype for slope in found_slopes.values()} == {torch.float32}
    ours, theirs = (
        torch.cat([found[name].flatten() for name in slopes]) for found in (found_slopes, slopes)
    )
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.98
    _, tasks = fast.forward(batch)
    assert {task.dtype for task in tasks.values()} == {torch.float32}


def test_a_shared_bottoms_output_stays_one_tensor_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dense._HAS_BF16, "cpu", lambda: True)
    made, batch = state(precision="bf16")
    assert len({id(task) for task in made.forward(batch)[1].values()}) == 1


def test_a_processor_without_bf16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dense._HAS_BF16, "cpu", lambda: False)
    with pytest.raises(SettingsError, match="AVX512_BF16"):
        state(precision="bf16")


def compare_compiled() -> None:
    """Compare gradients of the plain way with those of what is traced."""
    torch.compile = functools.partial(torch.compile, backend="eager")
    for trunk in ("shared_bottom", "mmoe"):
        plain, batch = state(trunk=trunk)
        fast, _ = state(trunk=trunk, compile=True)
        assert fast.forward.compiled_rows == ROWS
        for rows in (ROWS, ROWS - 1, ROWS):
            part = batch.apply(lambda tensor, rows=rows: tensor[:rows])
            losses, slopes = gradients(plain, part)
            found, found_slopes = gradients(fast, part)
            torch.testing.assert_close(found, losses)
            torch.testing.assert_close(found_slopes, slopes)


@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
def test_compiled_is_the_plain_way_to_rounding() -> None:
    """What is traced; the code made of it is the compiler's business, and takes it seconds.

    In a process of its own: the tracer stumbles over the shape checks of tests.
    """
    code = f"import runpy; runpy.run_path({__file__!r})['compare_compiled']()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_a_compiler_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense.shutil, "which", lambda name: None)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        made, _ = state(compile=True)
    assert made.forward.compiled_rows == 0


@pytest.mark.parametrize("trunk", sorted(trunks))
def test_layers_and_losses_in_cpp_are_the_plain_ones_to_rounding(trunk: str) -> None:
    plain, batch = state(trunk=trunk)
    try:
        fast, _ = state("native", trunk=trunk)
    except SettingsError as error:
        pytest.skip(str(error))
    losses, slopes = gradients(plain, batch)
    found, found_slopes = gradients(fast, batch)
    torch.testing.assert_close(found, losses, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found_slopes, slopes, rtol=1e-3, atol=1e-6)


def fused(made: State) -> bool:
    parts = [part.fused for part in made.model.modules() if hasattr(part, "fused")]
    assert parts
    return all(parts)


def test_cpp_is_used_with_the_native_engine_in_float32_alone() -> None:
    try:
        assert fused(state("native")[0])
    except SettingsError as error:
        pytest.skip(str(error))
    assert not fused(state("torch")[0])
    with contextlib.suppress(SettingsError):  # This processor may not have bf16.
        assert not fused(state("native", precision="bf16")[0])
