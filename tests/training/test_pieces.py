"""A number read piece by piece: trained, written, and read again."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import trimtab
from trimtab.config.load import parse


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """Rows where the middle of a number is liked, some of them without it."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=6_000)
    liked = draw.random(6_000) < np.where(np.abs(x) < 0.5, 0.8, 0.2)
    missing = draw.random(6_000) < 0.1
    frame = pl.DataFrame({"x": np.where(missing, np.nan, x), "like": liked & ~missing})
    return frame.with_columns(pl.col("x").fill_nan(None))


def test_pieces_learn_a_bump_and_come_back_from_disk(log: pl.DataFrame, tmp_path: Path) -> None:
    log.write_parquet(tmp_path / "log.parquet")
    settings = parse(
        {
            "data": {"log": str(tmp_path / "log.parquet"), "valid": 0.3},
            "features": {"x": {"kind": "number", "scale": "piecewise", "buckets": 16}},
            "targets": {"like": "binary"},
            "trunk": {"kind": "shared_bottom", "widths": [8]},
            "training": {"epochs": 8, "batch_rows": 64, "threads": 1},
            "report": {"importance": False},
        }
    )
    run = trimtab.train(settings, out=tmp_path / "run")
    assert run.evaluate()["targets"]["like"]["auc"] > 0.8
    rows = pl.DataFrame({"x": [None, 0.0, 3.0, 1e9, -1e9]})
    found = run.predict(rows)["like"].to_numpy()
    assert found[1] > 2 * max(found[2], found[4])
    assert found[0] < 0.1
    ends = run.predict(pl.DataFrame({"x": [log["x"].max(), log["x"].min()]}))["like"].to_numpy()
    np.testing.assert_allclose(found[3:], ends, rtol=1e-5)
    again = trimtab.Run.load(tmp_path / "run").predict(rows)["like"].to_numpy()
    np.testing.assert_array_equal(again, found)
