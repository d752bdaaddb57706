"""A run under ``data.memory``: the same run where all rows fit, a whole one where they do not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from trimtab.config.doctor import examine
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.data.statistics import Statistics
from trimtab.errors import DataError
from trimtab.training.order import Order, room
from trimtab.training.run import train


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("feed") / "log.parquet"
    feed = simulate(SimulationSettings(rows=12_000, users=100, items=60, days=10))
    feed.log.sort("user_id", "time_ms").write_parquet(path)
    return path


def settings(log: Path, memory: str | None, **training: Any) -> RunSettings:
    return parse(
        {
            "data": {
                "log": str(log),
                "time": "time_ms",
                "user": "user_id",
                "valid": "2d",
                "memory": memory,
            },
            "features": {"user_id": "id", "item_id": "id", "hour": "id"},
            "targets": {"stop": {"kind": "binary"}},
            "trunk": {"kind": "shared_bottom", "widths": [8]},
            "training": {"epochs": 1, "batch_rows": 256, "threads": 1, **training},
            "report": {"importance": False},
        }
    )


def test_where_all_rows_fit_it_is_the_same_run(log: Path, tmp_path: Path) -> None:
    for memory in (None, "100MB"):
        train(settings(log, memory), out=tmp_path / str(memory))
    ours, theirs = (load_file(tmp_path / m / "model.safetensors") for m in ("100MB", "None"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    metrics = [json.loads((tmp_path / m / "metrics.json").read_text()) for m in ("100MB", "None")]
    assert metrics[0] == metrics[1]


def test_where_they_do_not_fit_it_learns_from_buffers(log: Path, tmp_path: Path) -> None:
    given = settings(log, "1MB", epochs=2)
    prepared = prepare(given.plan())
    bound = room(prepared.train, given.data.memory)
    assert bound is not None
    order = Order(len(prepared.train), 256, 0, buffer_rows=bound)
    assert order.buffer_steps < order.steps
    run = train(given, out=tmp_path / "run")
    whole = train(settings(log, None, epochs=2), out=tmp_path / "whole")
    aucs = [one.evaluate()["targets"]["stop"]["auc"] for one in (run, whole)]
    assert aucs[0] == pytest.approx(aucs[1], abs=0.02)
    assert "Looked at" in (tmp_path / "run" / "report.html").read_text()


def test_the_doctor_looks_at_a_sample_and_says_so(log: Path, tmp_path: Path) -> None:
    given = settings(log, "1MB")
    last = examine(given)[-1]
    assert (last.severity, last.where) == ("note", "data.memory")
    assert last.what.endswith("of 12,000 rows, drawn at random.")
    later = tmp_path / "later.parquet"
    pl.read_parquet(log).tail(4000).write_parquet(later)
    content = given.model_dump(mode="json")
    content["data"]["valid"] = {"file": str(later)}
    assert examine(parse(content))[-1].where == "data.memory"
    assert all(finding.where != "data.memory" for finding in examine(settings(log, "100MB")))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_file_is_predicted_in_chunks_as_it_is_whole(
    log: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.read_parquet(log).head(3_000)
    places = [tmp_path / f"{part}.{suffix}" for part in range(2)]
    for place, part in zip(places, (rows.head(1_000), rows.tail(2_000)), strict=True):
        getattr(part, {"parquet": "write_parquet", "csv": "write_csv"}[suffix])(place)
    run = train(settings(log, "1MB"), out=tmp_path / "run")
    seen = []
    encode = Statistics.columns
    monkeypatch.setattr(
        Statistics, "columns", lambda *given: seen.append(len(given[1])) or encode(*given)
    )
    found = run.predict(tmp_path / f"*.{suffix}")
    assert sum(seen) == 3_000
    assert len(seen) > 1
    np.testing.assert_allclose(found["stop"], run.predict(rows)["stop"], rtol=1e-5)


def test_a_row_that_cannot_be_predicted_is_told_by_its_place_in_the_file(
    log: Path, tmp_path: Path
) -> None:
    content = settings(log, "1MB").model_dump(mode="json")
    rows = pl.read_parquet(log).with_columns(x=pl.lit(1.0))
    rows.write_parquet(tmp_path / "log.parquet")
    content["data"]["log"] = str(tmp_path / "log.parquet")
    content["features"]["x"] = {"kind": "number"}
    run = train(parse(content), out=tmp_path / "run")
    x = np.ones(len(rows))
    x[11_000] = np.inf
    rows.with_columns(x=x).write_parquet(tmp_path / "new.parquet")
    with pytest.raises(DataError, match="row 11,000 is inf"):
        run.predict(tmp_path / "new.parquet")
