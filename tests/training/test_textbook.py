"""The textbook network: a shared bottom, two towers of several numbers, and plain Adam."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import trimtab
from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.training.build import build_state
from trimtab.training.loop import update
from trimtab.training.order import Order
from trimtab.training.state import State

ROWS, EPOCHS, BATCH = 1000, 10, 32
X = [f"x{i}" for i in range(10)]
Y = {"first": ["a", "b", "c"], "second": ["d", "e"]}
LABELS = [name for names in Y.values() for name in names]


def run_file() -> dict[str, Any]:
    return {
        "data": {"valid": {"column": "held_out", "values": [True]}},
        "features": {name: {"kind": "number", "scale": "none"} for name in X},
        "scenes": {"stages": list(Y)},
        "targets": {
            name: {"kind": "number", "scale": "none", "scene": tower}
            for tower, names in Y.items()
            for name in names
        },
        "trunk": {"kind": "shared_bottom", "widths": [64, 32, 16]},
        "tower": {"widths": [32]},
        "loss": {"tower": "mean"},
        "training": {
            "epochs": EPOCHS,
            "batch_rows": BATCH,
            "learning_rate": 1e-3,
            "evaluations": 1,
            "own_peaks": False,
            "patience": 1000,
            "device": "cpu",
        },
    }


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    held_out = np.arange(ROWS + 100) >= ROWS
    numbers = random.normal(size=(ROWS + 100, 15)).astype(np.float32)
    return pl.DataFrame(numbers, schema=[*X, *LABELS]).with_columns(held_out=pl.Series(held_out))


class Twin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [10, 64, 32, 16]
        self.bottom = nn.Sequential()
        for a, b in zip(widths, widths[1:], strict=False):
            self.bottom += nn.Sequential(nn.Linear(a, b), nn.ReLU())
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, k)) for k in (3, 2)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        h = self.bottom(x)
        return [tower(h) for tower in self.towers]


def twin_of(state: State) -> Twin:
    """Start the twin from the library's start; a tower's heads are rows of one layer there."""
    twin, model = Twin(), state.model
    twin.bottom.load_state_dict(model.trunk.bottom.state_dict())  # type: ignore[union-attr, operator]
    for (name, tower), other in zip(model.towers.items(), twin.towers, strict=True):
        other[0].load_state_dict(tower.hidden["all"][0].state_dict())  # type: ignore[index]
        other[2].weight.data = torch.cat([tower.heads[y].weight.data for y in Y[name]])  # type: ignore[index]
        other[2].bias.data = torch.cat([tower.heads[y].bias.data for y in Y[name]])  # type: ignore[index]
    return twin


def epochs(twin: Twin, frame: pl.DataFrame) -> Iterator[list[float]]:
    """Train plainly; give each epoch's loss of each tower, the mean over its batches."""
    train = frame.head(ROWS)
    x, y1, y2 = (train.select(c).to_torch() for c in (X, Y["first"], Y["second"]))
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    order = Order(ROWS, BATCH, seed=0)
    for epoch in range(EPOCHS):
        sums = torch.zeros(2)
        for rows in order.indices(epoch * order.steps, (epoch + 1) * order.steps):
            out1, out2 = twin(x[rows])
            losses = torch.stack(
                [(out1 - y1[rows]).square().mean(), (out2 - y2[rows]).square().mean()]
            )
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            sums += losses.detach()
        yield (sums / order.steps).tolist()


def of_towers(losses: dict[str, float]) -> list[float]:
    return [sum(losses[y] for y in names) for names in Y.values()]


def test_network_is_the_textbooks(frame: pl.DataFrame) -> None:
    settings = parse(run_file())
    state = build_state(settings, prepare(settings.plan(), frame))
    shapes = sorted(tuple(p.shape) for p in state.model.parameters() if p.numel())
    heads = [(1, 32), (1,)] * 5  # A head a target, where the twin has a layer a tower.
    layers = [(64, 10), (64,), (32, 64), (32,), (16, 32), (16,), *[(32, 16), (32,)] * 2]
    assert shapes == sorted([*heads, *layers])


def test_updates_are_the_twins(frame: pl.DataFrame) -> None:
    """Update by update, from settings to losses, then a prediction for one row."""
    settings = parse(run_file())
    prepared = prepare(settings.plan(), frame)
    assert len(prepared.train) == ROWS
    state = build_state(settings, prepared)
    twin = twin_of(state)
    order = Order(ROWS, BATCH, settings.training.seed)
    for expected in epochs(twin, frame):
        totals = dict.fromkeys(LABELS, 0.0)
        for rows in order.indices(state.step, state.step + order.steps):
            losses = update(state, prepared.train.batch(rows), settings.training)
            totals = {name: totals[name] + float(losses[name]) / order.steps for name in LABELS}
        np.testing.assert_allclose(of_towers(totals), expected, rtol=1e-5)
    assert state.step == EPOCHS * 32

    row = frame.slice(ROWS, 1)
    with torch.no_grad():
        model = state.model.eval()
        batch = prepared.valid.batch(np.zeros(1, dtype=np.int64))
        out = model.predict(batch, model(batch))
        expected_row = torch.cat(twin(row.select(X).to_torch()), 1)[0]
    np.testing.assert_allclose(
        [out[name].item() for name in LABELS], expected_row, rtol=1e-5, atol=1e-6
    )


def test_a_run_is_the_twin(frame: pl.DataFrame, tmp_path: Path) -> None:
    """By the API alone: the same losses each epoch, and the best epoch's prediction of a row."""
    settings = parse(run_file())
    twin = twin_of(build_state(settings, prepare(settings.plan(), frame)))
    run = trimtab.train(settings, frame, out=tmp_path / "run")
    lines = (run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    curves = [json.loads(line) for line in lines]
    row = frame.slice(ROWS, 1)
    predictions = []
    assert len(curves) == EPOCHS
    for entry, expected in zip(curves, epochs(twin, frame), strict=True):
        np.testing.assert_allclose(of_towers(entry["losses"]), expected, rtol=1e-5)
        with torch.no_grad():
            predictions.append(torch.cat(twin(row.select(X).to_torch()), 1)[0].numpy())
    best = max(range(EPOCHS), key=lambda epoch: curves[epoch]["score"])
    out = run.predict(row.select(X)).select(LABELS).row(0)
    np.testing.assert_allclose(out, predictions[best], rtol=1e-5, atol=1e-6)
