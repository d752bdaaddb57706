"""Train on a log of three times the memory that is allowed: peak memory, and speed of each part.

    python benchmarks/log_size.py [--memory 200MB] [--times 3] [--files 8] [--threads 2] [--json]

A log of random columns (20 ids, 4 numbers, a list, 5 binary targets, a time, a user) is written
as Parquet, ``--times`` the allowed memory when read whole. One process then trains on a log of
24,000 rows with the same ids: what the interpreter, the libraries, the model and a full batch of
rows in it cost. Another trains an epoch on the whole log under ``data.memory``. Peak memory is the
process's own (``RssAnon``), looked at every 5 ms; mapped files, which the system takes back when
it needs to, are counted apart.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trimtab.training.progress import Silent

IDS, NUMBERS, TARGETS = 20, 4, 5
VALUES = 3_000
"""Values of the largest id feature."""
SIZES = {f"id{i}": int(size) for i, size in enumerate(np.geomspace(10, VALUES, IDS))}
CHUNK = 250_000
FEW = 24_000
"""Rows of the small log, of which 70 % are held out: one full batch of predictions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--memory", default="200MB", help="the setting data.memory")
    parser.add_argument("--times", type=float, default=3.0, help="size of the log in such memories")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-rows", type=int, default=4096)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker, options)))
        return
    with tempfile.TemporaryDirectory(prefix="log-size-") as folder:
        found = compare(Path(folder), options)
    print(table(found))
    if options.json:
        print(json.dumps(found))


def compare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from trimtab.data.settings import DataSettings

    memory = DataSettings(memory=options.memory).memory or 0
    row = random_rows(1000, 0).estimated_size() / 1000
    rows = int(options.times * memory / row)
    (folder / "large").mkdir()
    (folder / "small").mkdir()
    each = -(-rows // options.files)
    for i in range(options.files):
        write(folder / "large" / f"{i:03}.parquet", i * each, min(each, rows - i * each))
    every = pl.int_range(pl.len())  # Each value twice, so that the model is as large.
    small = random_rows(FEW, 0).with_columns(every.mod(size).alias(n) for n, size in SIZES.items())
    small.write_parquet(folder / "small" / "0.parquet")
    base, large = (run(folder / name, options) for name in ("small", "large"))
    above = large["peak_anonymous"] - base["peak_anonymous"]
    return {
        "rows": rows,
        "log_bytes": int(rows * row),
        "file_bytes": sum(path.stat().st_size for path in (folder / "large").iterdir()),
        "allowed_bytes": memory,
        "base_bytes": base["peak_anonymous"],
        "peak_bytes": large["peak_anonymous"],
        "peak_above_base_bytes": above,
        "peak_mapped_bytes": large["peak_mapped"],
        "stage_peak_bytes": large["peaks"],
        "within": above <= memory,
        "encoding_rows_per_second": rows / large["encoding_seconds"],
        "epoch_rows_per_second": large["epoch_rows"] / large["epoch_seconds"],
        "encoding_share": large["encoding_seconds"]
        / (large["encoding_seconds"] + large["epoch_seconds"]),
        "seconds": large["seconds"],
        "buffer_rows": large["buffer_rows"],
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {options.threads} threads",
    }


def write(path: Path, first: int, rows: int) -> None:
    """Write a file of the log, so that no file is in memory as a whole."""
    parts = [
        path.with_suffix(f".{i}") for i in range(max(-(-rows // CHUNK), 1)) if i * CHUNK < rows
    ]
    for i, part in enumerate(parts):
        random_rows(min(CHUNK, rows - i * CHUNK), first + i * CHUNK).write_parquet(part)
    pl.scan_parquet(parts, glob=False).sink_parquet(path, row_group_size=CHUNK)
    for part in parts:
        part.unlink()


def random_rows(rows: int, first: int) -> pl.DataFrame:
    """Return rows by time, each user's together, with labels that depend on some ids."""
    chance = np.random.default_rng(first)
    columns: dict[str, Any] = {
        name: (chance.random(rows) ** 3 * size).astype(np.int64) for name, size in SIZES.items()
    }
    columns |= {f"x{i}": chance.normal(size=rows) for i in range(NUMBERS)}
    lean = np.sin(columns["id5"]) + np.sin(columns["id9"]) + columns["x0"]
    for i in range(TARGETS):
        columns[f"y{i}"] = (chance.random(rows) < 1 / (1 + np.exp(2 + i - lean))).astype(np.int8)
    columns["user"] = (first + np.arange(rows)) // 50
    columns["time"] = 1_650_000_000 + (first + np.arange(rows)) // 20
    seen = chance.integers(0, 1000, (rows, 5))
    return pl.DataFrame(columns).with_columns(pl.Series("seen", seen).arr.to_list())


def run(log: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train in a process of its own."""
    command = [sys.executable, __file__, "--worker", str(log), "--memory", options.memory]
    command += ["--threads", str(options.threads), "--batch-rows", str(options.batch_rows)]
    cache = {"TRIMTAB_CACHE": str(log.parent / "cache")}
    done = subprocess.run(command, env=os.environ | cache, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(log: Path, options: argparse.Namespace) -> dict[str, Any]:
    from trimtab import train
    from trimtab.config.load import parse
    from trimtab.data.prepare import prepare
    from trimtab.training.order import room

    settings = parse(
        {
            "data": {
                "log": str(log),
                "time": "time",
                "user": "user",
                "valid": 0.7 if log.name == "small" else 0.1,
                "duplicates": "drop",
                "memory": options.memory,
            },
            "features": dict.fromkeys(SIZES, "id")
            | {f"x{i}": "number" for i in range(NUMBERS)}
            | {"seen": {"kind": "ids", "least_rows": 1}},
            "targets": {f"y{i}": {"kind": "binary"} for i in range(TARGETS)},
            "trunk": {"kind": "shared_bottom"},
            "training": {
                "epochs": 1,
                "batch_rows": options.batch_rows,
                "threads": options.threads,
            },
        }
    )
    with Memory() as memory:
        started = time.perf_counter()
        prepared = prepare(settings.plan())
        encoded = time.perf_counter() - started
        stages = Stages(memory)
        run = train(settings, out=log.parent / f"run-{log.name}", progress=stages)
        stages.stage("")
        curves = (run.folder / "log.jsonl").read_text().splitlines()
    epochs = json.loads(curves[-1])["epoch"]
    return {
        "peak_anonymous": memory.peak,
        "peak_mapped": memory.mapped,
        "peaks": stages.peaks,
        "encoding_seconds": encoded,
        "epoch_rows": epochs * len(prepared.train),
        "epoch_seconds": seconds_of(run.folder),
        "buffer_rows": room(prepared.train, settings.data.memory),
        "seconds": time.perf_counter() - started,
    }


def seconds_of(folder: Path) -> float:
    """Return the seconds that the training loop took."""
    from trimtab.training import checkpoint

    _, facts = checkpoint.load(folder / "last.safetensors")
    return float(facts["seconds"])


class Memory:
    """The most memory that this process holds while the block runs, in bytes."""

    def __init__(self) -> None:
        self.peak = self.mapped = self.lately = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            own, mapped = resident()
            self.peak, self.mapped = max(self.peak, own), max(self.mapped, mapped)
            self.lately = max(self.lately, own)


class Stages(Silent):
    """The most memory of each stage of a training."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.peaks: dict[str, int] = {}
        self.current = "preparing"

    def stage(self, doing: str) -> None:
        """Begin a stage."""
        self.peaks[self.current] = max(self.memory.lately, self.peaks.get(self.current, 0))
        self.current, self.memory.lately = doing, 0

    def start(self, *_: Any) -> None:
        """Begin to train."""
        self.stage("training")


def resident() -> tuple[int, int]:
    """Return the process's own bytes and those of mapped files; without /proc, the peak of both."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    own, mapped = (int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def table(found: dict[str, Any]) -> str:
    stages = found["stage_peak_bytes"]
    size = {
        name: f"{value / 1e6:,.0f} MB"
        for name, value in found.items()
        if name.endswith("_bytes") and value is not stages
    }
    return "\n".join(
        [
            f"log                   {found['rows']:,} rows, {size['log_bytes']} when read whole, "
            f"{size['file_bytes']} of Parquet",
            f"allowed               {size['allowed_bytes']}",
            f"all but the log       {size['base_bytes']}",
            f"peak above that       {size['peak_above_base_bytes']}"
            f"  ({'within' if found['within'] else 'NOT within'} what is allowed)",
            "  by stage            "
            + ", ".join(f"{n or 'the end'} {v / 1e6:,.0f} MB" for n, v in stages.items()),
            f"mapped files          {size['peak_mapped_bytes']} at most, the system's to take back",
            f"encoding              {found['encoding_rows_per_second']:,.0f} rows/s",
            f"an epoch              {found['epoch_rows_per_second']:,.0f} rows/s",
            f"encoding's share      {100 * found['encoding_share']:.0f} % of it and one epoch",
            found["machine"],
        ]
    )


if __name__ == "__main__":
    main()
