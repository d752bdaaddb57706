"""What a training step must do, what this machine can do, and the share of that each part reaches.

    python benchmarks/roofline.py [--table-rows 1000000] [--batch-rows 4096] [--threads 2] [--json]

The work is that of ``training_speed.py``. A part's work is counted in floating-point operations
and in bytes, those of tables on the different rows of a batch; at the ceiling it takes the longer
of both. Ceilings: products of matrices, large and of the shapes that occur (the fastest of them
counts: it is what the processor can do, whoever calls it), copies and triads of arrays larger than
the cache (the faster counts), and rows of 64 bytes at random places of a table of the same size, in
rising order as in a step. A batch's rows of the log are at random places too; where a core is free
they are gathered on it, and count neither as work nor as time.

Each round measures the ceilings and then the step: a machine that others share is slower or faster
by the minute. The table is that of the round with the median share.

Parts are timed around the real functions, and the backward pass is divided by the profiler; the
whole step is timed apart, with nothing in between: part by part, where what is left over is Python
and dispatch, and as training does it, in one call where the model is plain.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from ceilings import Ceilings, ceilings
from drawn_rows import LARGE_SHARES, NUMBERS, SMALL_VOCABULARIES, TARGETS, Settings, draw_rows
from peers.worker import BOTTOM_WIDTHS, EMBEDDING_WIDTH, MODEL, TOWER_WIDTHS, Arrays
from step_parts import GATHER, measure
from training_speed import positive

from trimtab.training.order import a_core_is_free

LEFT = "Python and dispatch (left over)"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a step and what it must do.

    Attributes
    ----------
    flops
        Floating-point operations.
    traffic
        Ceiling to the bytes that are moved at it.
    """

    name: str
    flops: float = 0.0
    traffic: dict[str, float]

    def least_seconds(self, found: Ceilings, precision: str) -> float:
        moved = sum(count / found.speed(at) for at, count in self.traffic.items())
        return max(self.flops / found.flops(precision), moved)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    number: dict[str, Any] = {"type": positive, "metavar": "N"}
    parser.add_argument("--table-rows", default=1_000_000, **number)
    parser.add_argument("--batch-rows", default=4096, **number)
    parser.add_argument("--steps", default=120, help="timed a round", **number)
    parser.add_argument("--rounds", default=5, **number)
    parser.add_argument("--threads", default=2, **number)
    parser.add_argument("--trunk", default=MODEL, choices=("shared_bottom", "mmoe", "ple"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if options.trunk != MODEL:  # The worker reads it as it is imported.
        os.environ["TRUNK"] = options.trunk
        os.execv(sys.executable, [sys.executable, *sys.argv])
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    arrays = rows_of(options)
    distinct = distinct_rows(arrays)
    steps, rounds = measure(arrays, options.steps), []
    for _ in range(options.rounds):
        found = ceilings(options.table_rows, int(distinct), shapes(options.batch_rows))
        measured = next(steps)
        rounds.append(
            (found, summarise(work(arrays, distinct, measured), found, measured, options))
        )
    rounds.sort(key=lambda one: one[1]["share"])
    found, summary = rounds[len(rounds) // 2]
    summary["shares"] = [one["share"] for _, one in rounds]
    print_ceilings(found, options)
    print_parts(summary)
    if options.json:
        print(json.dumps(summary))


def rows_of(options: argparse.Namespace) -> Arrays:
    rows = options.batch_rows * options.steps
    work = Settings(
        table_rows=options.table_rows,
        batch_rows=options.batch_rows,
        rows=rows,
        peer_rows=rows,
        rounds=1,
        threads=options.threads,
        seed=0,
    )
    drawn = draw_rows(work)
    vocabularies = drawn.pop("vocabularies").tolist()
    return Arrays(**drawn, vocabularies=vocabularies, batch_rows=options.batch_rows)


def distinct_rows(arrays: Arrays) -> float:
    """Return the different table rows of a batch, on average over some batches."""
    firsts = range(0, min(arrays.rows, 20 * arrays.batch_rows), arrays.batch_rows)
    found = [
        sum(len(np.unique(column)) for column in arrays.ids[i : i + arrays.batch_rows].T)
        for i in firsts
    ]
    return float(np.mean(found))


def work(arrays: Arrays, distinct: float, measured: dict[str, float]) -> list[Part]:
    """Count what each part must do in a step; a bottom's first layer by its cheaper form.

    Of other trunks the first layer is counted with the rest, as dense products.
    """
    rows, fields = arrays.batch_rows, arrays.ids.shape[1]
    ids, row = 4.0 * rows * fields, 4.0 * EMBEDDING_WIDTH
    first, dense = BOTTOM_WIDTHS[0], 2.0 * rows * (fields * EMBEDDING_WIDTH + NUMBERS)
    every = 2.0 * rows * fields * EMBEDDING_WIDTH * first  # each row multiplied
    once = 2.0 * distinct * EMBEDDING_WIDTH * first + rows * fields * first  # each id, then added
    numbers = 2.0 * rows * NUMBERS * first
    layer = min(every, once) + numbers if MODEL == "shared_bottom" else 0.0
    trunk = measured["trunk_flops"] - (dense * first if layer else 0.0)
    towers, weights = measured["tower_flops"], measured["weights"]
    outputs = 4.0 * rows * TARGETS
    batch = ids + 4.0 * rows * (NUMBERS + TARGETS) + 8.0 * rows
    return [
        Part(name=GATHER, traffic={"gather": 2 * batch}),
        Part(name="lookup: different rows", traffic={"stream": 2 * ids + 4 * distinct}),
        Part(name="table gather", traffic={"gather": 2 * distinct * row}),
        Part(name="rest of the features", traffic={}),
        Part(name="first layer", flops=layer, traffic={"stream": ids + distinct * row}),
        Part(name="rest of the trunk", flops=trunk, traffic={}),
        Part(name="towers", flops=towers, traffic={}),
        Part(name="loss", traffic={"stream": 2 * outputs}),
        Part(name="backward: loss", traffic={"stream": 2 * outputs}),
        Part(name="backward: other layers", flops=2 * (trunk + towers), traffic={}),
        Part(
            name="backward: first layer, tables",
            flops=max(2 * layer - numbers, 0.0),  # numbers need no gradient
            traffic={"stream": ids + 2 * distinct * row},
        ),
        Part(
            name="table update",
            traffic={
                "gather": distinct * (row + 4),  # reads, then writes, of the weights and the state
                "scatter": distinct * (row + 4),
                "stream": distinct * row,
            },
        ),
        Part(name="dense optimiser", traffic={"stream": 7.0 * 4 * weights}),
    ]


def summarise(
    parts: list[Part], found: Ceilings, measured: dict[str, float], options: Any
) -> dict[str, Any]:
    rows = []
    for part in parts:
        spent, least = measured.get(part.name, 0.0), part.least_seconds(found, options.precision)
        moved = sum(part.traffic.values())
        rows.append(
            {"part": part.name, "flops": part.flops, "bytes": moved, "least": least, "spent": spent}
        )
    beside = {GATHER} if a_core_is_free() else set()
    whole, inside = measured["whole"], [row for row in rows if row["part"] not in beside]
    left = measured["whole in parts"] - sum(row["spent"] for row in inside)
    rows.append({"part": LEFT, "flops": 0.0, "bytes": 0.0, "least": 0.0, "spent": left})
    least = sum(row["least"] for row in inside)
    return {
        "share": least / whole,
        "gathered_beside": bool(beside),
        "whole_seconds": whole,
        "in_parts_seconds": measured["whole in parts"],
        "least_seconds": least,
        "rows_per_second": options.batch_rows / whole,
        "parts": rows,
        "ceilings": asdict(found),
        "settings": {k: v for k, v in vars(options).items() if k != "json"},
    }


def shapes(rows: int) -> list[tuple[int, int, int]]:
    """Return the products of a step's layers: rows, width, width of the output."""
    first = len(SMALL_VOCABULARIES + LARGE_SHARES) * EMBEDDING_WIDTH + NUMBERS
    widths = (first, *BOTTOM_WIDTHS, *TOWER_WIDTHS, TARGETS)
    return [(rows, a, b) for a, b in pairwise(widths)]


def print_ceilings(found: Ceilings, options: argparse.Namespace) -> None:
    print(f"ceilings with {options.threads} threads")
    for dtype, products in found.products.items():
        print(f"  {dtype} products, GFLOP/s")
        for shape, speed in products.items():
            print(f"    {shape:<22}{speed / 1e9:8.1f}")
    for name, speed in found.bytes_a_second.items():
        note = " of rows of 64 bytes" if name in ("gather", "scatter") else ""
        print(f"  {name + note:<28}{speed / 1e9:6.1f} GB/s read and written")
    print(f"Shares are of the fastest {options.precision} product and the faster stream.\n")


def print_parts(summary: dict[str, Any]) -> None:
    print(
        f"{'part of a step':<36}{'MFLOP':>8}{'MB':>8}{'least ms':>10}{'spent ms':>10}{'share':>8}"
    )
    for row in summary["parts"]:
        share = f"{row['least'] / row['spent']:.0%}" if row["least"] and row["spent"] else ""
        print(
            f"{row['part']:<36}{row['flops'] / 1e6:>8.1f}{row['bytes'] / 1e6:>8.2f}"
            f"{row['least'] * 1e3:>10.3f}{row['spent'] * 1e3:>10.3f}{share:>8}"
        )
    least = summary["least_seconds"]
    wholes = {"part by part": summary["in_parts_seconds"], "as trained": summary["whole_seconds"]}
    gather = "without the gather, beside" if summary["gathered_beside"] else "with the gather"
    for how, spent in wholes.items():
        print(
            f"{f'whole step, {how}, {gather}':<54}{least * 1e3:>8.3f}"
            f"{spent * 1e3:>10.3f}{least / spent:>8.1%}"
        )
    shares = ", ".join(f"{share:.1%}" for share in summary["shares"])
    print(f"{summary['rows_per_second']:,.0f} rows/s; shares of all rounds: {shares}")


if __name__ == "__main__":
    main()
