"""The benchmarks of speed still run, on work so small that their numbers mean nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
READ = ("COMPILE", "ENGINE", "EQUAL_TOWERS", "PRECISION", "TRUNK")
"""Variables that choose what the worker trains."""


def last_line(*command: str, **environment: str) -> dict[str, Any]:
    """Run a benchmark as its user does; return the JSON that it ends with."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=BENCHMARKS,
        env={k: v for k, v in os.environ.items() if k not in READ} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("trunk", ["shared_bottom", "mmoe", "ple"])
def test_the_worker_trains_each_model(trunk: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ids = random.integers(9, size=(6_400, 3)).astype(np.int32)
    labels = np.repeat(ids[:, :1] > 4, 5, axis=1).astype(np.float32)
    numbers = random.standard_normal((len(ids), 4)).astype(np.float32)
    work = tmp_path / "work.npz"
    np.savez(work, ids=ids, numbers=numbers, labels=labels, vocabularies=np.full(3, 9))
    size = ("--batch-rows", "64", "--threads", "1")
    found = last_line("-m", "peers.trimtab_worker", str(work), *size, TRUNK=trunk)
    assert found["rows"] == len(ids)


def test_the_share_of_the_limit_is_measured() -> None:
    size = ("--table-rows", "5000", "--batch-rows", "64", "--steps", "20", "--rounds", "1")
    found = last_line("roofline.py", *size, "--threads", "1", "--json")
    assert 0 < found["least_seconds"] < found["whole_seconds"]
