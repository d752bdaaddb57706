"""Cost of a training row against the rows of the tables and of the log; peak memory beside.

    python benchmarks/scaling.py [--tables 100000,1000000] [--logs 100000] [--picture FILE] [--json]

The work is that of ``training_speed.py``, with the log mapped from disk. Each setting trains in a
process of its own, in turns. Beside the cost of a row stands what the caches explain: the seconds
that a row's share of the batch's different table rows takes, with their state gathered and
scattered back at the real places of a table of that size, and nothing else. ``flat`` is the cost
without these seconds, relative to the smallest table.

Memory is the process's peak above what it held before the model was built (Python, libraries, and
a tiny model that loads what is loaded at first use), without pages of the mapped log, over the
tables, their state (a number a row) and the stated buffers: batches (these and the next), the
order of the rows, and a batch's embeddings, gradients and hidden values.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ceilings import RandomRows, seconds_of
from drawn_rows import Settings, draw_rows
from peers.trimtab_worker import build, columns
from peers.worker import EMBEDDING_WIDTH, Arrays, peak_memory_bytes
from scaling_picture import draw
from torch import Tensor

from trimtab.data.columns import Columns
from trimtab.data.vocabulary import FIRST
from trimtab.training.loop import update, updates
from trimtab.training.order import TOGETHER, Order

TABLES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
LOGS = (100_000, 1_000_000, 10_000_000)
LOG_OF_TABLES, TABLE_OF_LOGS = 300_000, 1_000_000
WARM_UP = 5
MEMORY = ("peak", "before", "mapped", "tables", "state", "buffers")


def main() -> None:
    options = parse_arguments()
    if options.one:
        print(json.dumps(one(options)))
        return
    found: dict[str, list[dict[str, Any]]] = {"tables": [], "logs": []}
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        settings = list(works(options, Path(folder)))
        runs: list[list[dict[str, Any]]] = [[] for _ in settings]
        for _ in range(options.rounds):
            for (_, place), outcomes in zip(settings, runs, strict=True):
                outcomes.append(in_a_process(options, place))
        for (sweep, _), outcomes in zip(settings, runs, strict=True):
            found[sweep].append(middle(outcomes))
    for points in found.values():
        compare(points)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, batches of "
        f"{options.batch_rows:,}, medians of {options.rounds} rounds"
    )
    print_points(found)
    if options.picture:
        options.picture.write_text(draw(found), encoding="utf-8")
    if options.json:
        print(json.dumps(found))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])

    def sizes(text: str) -> list[int]:
        return [int(size) for size in text.split(",") if size]

    parser.add_argument("--tables", type=sizes, default=list(TABLES), help="table rows to try")
    parser.add_argument("--logs", type=sizes, default=list(LOGS), help="log rows to try")
    parser.add_argument("--batch-rows", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=60, help="timed in a process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--picture", type=Path, help="SVG to write")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min([*options.tables, 10_000]) < 10_000:
        parser.error("--tables: at least 10000 rows, so that the large vocabularies are not empty")
    return options


def works(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the log of each setting; yield the sweep that it is of, and its folder."""
    for table_rows in options.tables:
        yield "tables", write(folder / f"table-{table_rows}", table_rows, LOG_OF_TABLES, options)
    for log_rows in options.logs:
        yield "logs", write(folder / f"log-{log_rows}", TABLE_OF_LOGS, log_rows, options)


def write(place: Path, table_rows: int, log_rows: int, options: argparse.Namespace) -> Path:
    """Write encoded columns; a long log is a short one over and over."""
    drawn = min(log_rows, LOG_OF_TABLES)
    settings = Settings(
        table_rows=table_rows,
        batch_rows=options.batch_rows,
        rows=drawn,
        peer_rows=drawn,
        rounds=1,
        threads=1,
        seed=0,
    )
    rows = draw_rows(settings)
    place.mkdir()
    vocabularies = rows.pop("vocabularies")
    (place / "vocabularies.json").write_text(json.dumps(vocabularies.tolist()))
    short = Arrays(**rows, vocabularies=vocabularies.tolist(), batch_rows=options.batch_rows)
    for name, array in columns(short).arrays.items():
        shape = (log_rows, *array.shape[1:])
        out = np.lib.format.open_memmap(place / f"{name}.npy", "w+", array.dtype, shape)
        for first in range(0, log_rows, drawn):
            out[first : first + drawn] = array[: log_rows - first]
    return place


def in_a_process(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    threads = str(options.threads)
    sizes = {"batch-rows": options.batch_rows, "threads": threads, "steps": options.steps}
    done = subprocess.run(
        [sys.executable, __file__, "--one", place, *(f"--{n}={size}" for n, size in sizes.items())],
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{place.name}: {done.stderr[-4000:]}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    speed = f"{outcome['nanoseconds']:,.0f} ns a row, peak {outcome['peak'] / 1e6:,.0f} MB"
    print(f"{place.name:<18}{speed}", flush=True)
    return outcome


def one(options: argparse.Namespace) -> dict[str, Any]:
    """Train on one mapped log; return nanoseconds a row, and bytes."""
    torch.set_num_threads(options.threads)
    place, batch_rows = options.one, options.batch_rows
    mapped = {path.stem: np.load(path, mmap_mode="r") for path in place.glob("*.npy")}
    vocabularies = json.loads((place / "vocabularies.json").read_text())
    few = Arrays(
        ids=np.array(mapped["ids"][:64]) - FIRST,
        numbers=np.array(mapped["numbers"][:64]),
        labels=np.array(mapped["labels"][:64]),
        vocabularies=vocabularies,
        batch_rows=batch_rows,
    )
    rehearse(few)
    before, files = peak_memory_bytes(), file_bytes()
    state, some, training = build(few)
    rows = Columns(names=some.names, arrays=mapped)
    order = Order(len(rows), batch_rows, training.seed)
    waiting = state.batches(rows, order.buffers(0, WARM_UP + options.steps))
    start, trained = 0.0, 0
    for batches in waiting:
        if not start and state.step >= WARM_UP:
            start = time.perf_counter()
        for _ in updates(state, batches, training):
            pass
        trained += len(batches.rows) if start else 0
    seconds = time.perf_counter() - start
    peak, mapped_bytes = peak_memory_bytes(), file_bytes() - files
    table = state.model.features.tables
    wanted = places(rows, order, list(table.offset.values())[: len(vocabularies)])
    distinct = sum(map(len, wanted)) / len(wanted)
    moved = 0.0
    for each in (table.weight.data, torch.zeros(len(table.weight), 1)):  # the weights, the state
        traffic = RandomRows(each, wanted)
        for run in (traffic.gather, traffic.scatter):
            moved += seconds_of(run, times=2 * len(wanted))
    return {
        "table_rows": sum(vocabularies),
        "log_rows": len(rows),
        "nanoseconds": seconds / trained * 1e9,
        "traffic_nanoseconds": moved / batch_rows * 1e9,
        "distinct": distinct,
        "peak": peak,
        "before": before,
        "mapped": mapped_bytes,
        "tables": table.weight.nbytes,
        "state": 4 * len(table.weight) * len(table.blocks),
        "buffers": buffers(rows, batch_rows, distinct),
        "log_bytes": sum(array.nbytes for array in mapped.values()),
    }


def rehearse(few: Arrays) -> None:
    """Train a tiny model a step, so that what is loaded at first use counts as held before."""
    vocabularies = [8] * len(few.vocabularies)
    state, rows, training = build(replace(few, ids=few.ids % 8, vocabularies=vocabularies))
    update(state, rows.batch(np.arange(len(rows))), training)


def places(rows: Columns, order: Order, offsets: list[int]) -> list[Tensor]:
    """Return the different table rows of some batches."""
    some = order.indices(0, min(order.steps, 12))
    ids = (rows.arrays["ids"][index] + np.array(offsets) for index in some)
    return [torch.from_numpy(np.unique(batch)) for batch in ids]


def buffers(rows: Columns, batch_rows: int, distinct: float) -> float:
    """Return the bytes that a step needs beside tables and state."""
    gathered = max(batch_rows, TOGETHER) * sum(a.nbytes // len(rows) for a in rows.arrays.values())
    fields = rows.arrays["ids"].shape[1]
    embeddings = 4 * EMBEDDING_WIDTH * (4 * distinct + 2 * batch_rows * fields)
    return 2 * gathered + 8 * len(rows) + embeddings + 4 * batch_rows * 2 * (64 + 32 + 16 + 32)


def file_bytes() -> int:
    """Return the pages of mapped files that the process holds, which it gives up when asked."""
    status = Path("/proc/self/status")
    found = re.search(r"RssFile:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def middle(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians over rounds, of memory the most."""
    medians = {name: median(each[name] for each in outcomes) for name in outcomes[0]}
    return medians | {"peak": max(each["peak"] for each in outcomes)}


def compare(points: list[dict[str, Any]]) -> None:
    """Add to each point its ratios."""
    for point in points:
        own = point["peak"] - point["before"] - point["mapped"]
        point["memory"] = own / (point["tables"] + point["state"] + point["buffers"])
        point["over_tables"] = (own - point["buffers"]) / point["tables"]
        point["cost"] = point["nanoseconds"] / points[0]["nanoseconds"]
        first, rest = (p["nanoseconds"] - p["traffic_nanoseconds"] for p in (points[0], point))
        point["flat"] = rest / first


def print_points(found: dict[str, list[dict[str, Any]]]) -> None:
    heads = ("table rows", "log rows", "ns a row", "cost", "distinct", "traffic ns", "flat")
    memory = ("peak MB", "before", "mapped", "tables", "state", "buffers", "x needed", "x tables")
    for points in filter(None, found.values()):
        print("\n" + " ".join(f"{head:>11}" for head in heads + memory))
        for p in points:
            cells = [
                *(f"{p[name]:,.0f}" for name in ("table_rows", "log_rows", "nanoseconds")),
                f"{p['cost']:.2f}",
                f"{p['distinct']:,.0f}",
                f"{p['traffic_nanoseconds']:,.0f}",
                f"{p['flat']:.2f}",
                *(f"{p[n] / 1e6:,.0f}" for n in MEMORY),
                f"{p['memory']:.2f}",
                f"{p['over_tables']:.2f}",
            ]
            print(" ".join(f"{cell:>11}" for cell in cells))


if __name__ == "__main__":
    main()
