"""Cost of the metrics of a target: processor seconds, rows a second, memory.

    python benchmarks/evaluation.py [--rows 10000000] [--rows-a-user 20] [--measures probability]

Each family of targets is measured in a process of its own, on rows in an order without users or
predictions in it, as a log's: every metric with its interval over resampled users, and NDCG@10 of
the users' rows (first its ideal, then that of a score). Compare the
rows a second with those of training (``training_speed.py``).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers.worker import peak_memory_bytes

from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.measures import MEASURES
from trimtab.steering.ndcg import Ndcg

Values = NDArray[np.float32]
LABELS: dict[str, Callable[[Values, Values], Values]] = {
    "probability": lambda truth, chance: chance < 1 / (1 + np.exp(2 - truth)),
    "quantity": lambda truth, chance: np.round(10 * np.exp(truth)),
    "gain": lambda truth, chance: (chance < 0.1) + 5 * (chance < 0.03 * (1 + truth)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rows-a-user", type=int, default=20)
    parser.add_argument("--measures", type=lambda text: text.split(","), default=list(LABELS))
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.rows, options.rows_a_user)))
        return
    found = {}
    for measure in options.measures:
        sizes = (f"--rows={options.rows}", f"--rows-a-user={options.rows_a_user}")
        done = subprocess.run(
            [sys.executable, __file__, "--one", measure, *sizes],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found[measure] = json.loads(done.stdout.splitlines()[-1])
        print(shown(measure, found[measure], options.rows), flush=True)
    if options.json:
        print(json.dumps(found))


def one(measure: str, rows: int, rows_a_user: int) -> dict[str, Any]:
    """Return the processor seconds of each part, and bytes."""
    random = np.random.default_rng(0)
    users = random.permutation(np.arange(rows) // rows_a_user)
    truth = random.standard_normal(rows, np.float32)
    noise, chance = random.standard_normal(rows, np.float32), random.random(rows, np.float32)
    label = LABELS[measure](truth, chance).astype(np.float32)
    prediction = 1 / (1 + np.exp(2 - (truth + noise) / 2))
    del truth, noise, chance
    before, seconds = peak_memory_bytes(), {}
    start = time.process_time()
    bootstrap = UserBootstrap(users)
    seconds["users"] = time.process_time() - start
    for name, metric in MEASURES[measure].metrics.items():
        start = time.process_time()
        estimate = metric.estimate(label, prediction, bootstrap)
        estimate.value()
        seconds[name] = time.process_time() - start
        start = time.process_time()
        bootstrap.interval(estimate.resampled())
        seconds[f"{name}, interval"] = time.process_time() - start
    start = time.process_time()
    ndcg = Ndcg(label[None].astype(np.float64), users)
    seconds["ndcg@10"] = time.process_time() - start
    start = time.process_time()
    bootstrap.interval(ndcg.resampled(prediction)[0])
    seconds["ndcg@10, of a score, interval"] = time.process_time() - start
    start = time.process_time()
    for other in MEASURES[measure].others.values():
        other(label, prediction)
    seconds["others"] = time.process_time() - start
    columns = users.nbytes + label.nbytes + prediction.nbytes
    more = peak_memory_bytes() - before
    return {"seconds": seconds, "columns_bytes": columns, "more_bytes": more}


def shown(measure: str, found: dict[str, Any], rows: int) -> str:
    whole = sum(found["seconds"].values())
    lines = [f"{measure}: {whole:.1f} processor seconds, {rows / whole:,.0f} rows/s"]
    lines += [f"  {name:<36}{seconds:8.2f} s" for name, seconds in found["seconds"].items()]
    bytes_a_row = found["more_bytes"] / rows
    lines.append(
        f"  memory: columns {found['columns_bytes'] / 1e6:,.0f} MB, at the peak "
        f"{found['more_bytes'] / 1e6:,.0f} MB more ({bytes_a_row:.0f} bytes a row)"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
