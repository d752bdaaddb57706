"""Training rows a second: Trimtab against DeepCTR-Torch, torch-rechub and FuxiCTR, same rows.

Every system trains its own shared bottom (20 id features, 4 numbers, 5 binary targets), MMoE or
PLE (``--model``) through its own public trainer, in its own process; each peer in its own
environment, made on the first run under ``benchmarks/.peers``. The systems take turns, so a slow
minute of the machine falls on all of them. A run is timed over its batches only: no imports, no
building, no evaluation.

    python benchmarks/training_speed.py [--table-rows 10000000] [--best-batch] [--json]

Trimtab's shared bottom has one tower with five heads, its own form; ``--equal-towers`` gives it a
tower a target, the only form the peers have. ``--best-batch`` first runs each system once at each
of 1k, 4k, 16k and 64k rows a batch, and then takes turns with each at its own best.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from drawn_rows import Settings, draw_rows

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".peers"
REQUIREMENTS = HERE / "peers" / "requirements.txt"
PEERS = {
    "deepctr-torch": "peers.deepctr_torch",
    "torch-rechub": "peers.torch_rechub",
    "fuxictr": "peers.fuxictr",
}
OURS = "trimtab"
BATCHES = (1 << 10, 1 << 12, 1 << 14, 1 << 16)
MODELS = ("shared_bottom", "mmoe", "ple")
VARIANTS = ("compile", "precision", "engine")
"""Options of Trimtab's training, which its worker reads from the environment."""

OUR_ROWS, PEER_ROWS = 1 << 21, 200_000
"""Rows of a run, about, where a batch is large."""
NOISY = 1.3


def main() -> None:
    settings, as_json = parse_arguments()
    pythons = {OURS: Path(sys.executable)} | {peer: environment(peer) for peer in settings.peers}

    with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
        works = write_work(settings, Path(folder))
        batches = dict.fromkeys(pythons, settings.batch_rows)
        if settings.best_batch:
            batches = best_batches(settings, pythons, works)
        runs = take_turns(settings, pythons, works, batches)

    summary = summarise(settings, runs, batches)
    print_table(summary)
    if as_json:
        print(json.dumps(summary))


def parse_arguments() -> tuple[Settings, bool]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    number: dict[str, Any] = {"type": positive, "metavar": "N"}
    parser.add_argument("--table-rows", default=1_000_000, **number, help="sum of the vocabularies")
    parser.add_argument("--batch-rows", default=4096, **number)
    parser.add_argument("--best-batch", action="store_true", help="each system at its own best")
    parser.add_argument("--rows", **number, help="rows Trimtab trains on in a round, at most")
    parser.add_argument("--peer-rows", **number, help="rows a peer trains on in a round, at most")
    parser.add_argument("--model", default=MODELS[0], choices=MODELS)
    parser.add_argument("--peers", default=list(PEERS), type=lambda text: text.split(","))
    parser.add_argument("--equal-towers", action="store_true", help="a tower a target for Trimtab")
    for variant in VARIANTS:
        parser.add_argument(f"--{variant}", default="", help="Trimtab's, as in its run file")
    parser.add_argument("--rounds", default=5, **number)
    parser.add_argument("--threads", default=2, **number)
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = vars(parser.parse_args())
    if options["table_rows"] < 10_000:
        parser.error("--table-rows: at least 10000, so that the large vocabularies are not empty")
    if not set(options["peers"]) <= set(PEERS):
        parser.error(f"--peers: {','.join(PEERS)}, or some of them")
    variant = {name.upper(): options.pop(name) for name in VARIANTS}
    variant["EQUAL_TOWERS"] = "1" if options.pop("equal_towers") else ""
    options["variant"] = {name: value for name, value in variant.items() if value}
    as_json = options.pop("json")
    largest = max(BATCHES) if options["best_batch"] else options["batch_rows"]
    options["rows"] = options["rows"] or our_rows(largest)
    options["peer_rows"] = options["peer_rows"] or peer_rows(largest, options["table_rows"])
    return Settings(**options), as_json


def our_rows(batch_rows: int) -> int:
    return min(512 * batch_rows, max(OUR_ROWS, 32 * batch_rows))


def peer_rows(batch_rows: int, table_rows: int) -> int:
    """Five to fifteen seconds: a peer's every batch also costs a pass over its tables."""
    batches = min(max(8, 40_000_000 // table_rows), 40)
    return min(batches * batch_rows, max(PEER_ROWS, 4 * batch_rows))


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more; got {number}")
    return number


def environment(peer: str) -> Path:
    """The Python of a peer's own environment; made on first use and when the pins change."""
    folder = ENVIRONMENTS / peer
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = folder / "installed.txt"
    pins = REQUIREMENTS.read_text()
    if installed.exists() and installed.read_text() == pins:
        return python

    print(f"{peer}: making its environment in {folder}", flush=True)
    venv.create(folder, clear=True, with_pip=True, symlinks=os.name != "nt")
    torch_pin = next(line for line in pins.splitlines() if line.startswith("torch=="))
    for requirement in (torch_pin, peer):  # torch first, so that nothing else picks its build
        options = ("-qq", "--constraint", REQUIREMENTS)
        subprocess.run([python, "-m", "pip", "install", *options, requirement], check=True)
    installed.write_text(pins)
    return python


def write_work(settings: Settings, folder: Path) -> dict[str, Path]:
    """Draw the rows once; the peers, being slower, train on the first of the same rows."""
    arrays = draw_rows(settings)
    vocabularies = arrays.pop("vocabularies")
    works = {}
    for name, rows in (("ours", settings.rows), ("peers", settings.peer_rows)):
        works[name] = folder / f"{name}.npz"
        first: dict[str, Any] = {column: values[:rows] for column, values in arrays.items()}
        np.savez(works[name], vocabularies=vocabularies, **first)
    return {OURS: works["ours"]} | dict.fromkeys(PEERS, works["peers"])


def best_batches(
    settings: Settings, pythons: dict[str, Path], works: dict[str, Path]
) -> dict[str, int]:
    """Run every system once at each batch; return the batch where each was fastest."""
    speeds: dict[str, dict[int, float]] = {system: {} for system in pythons}
    for batch_rows in BATCHES:
        for system, python in pythons.items():
            outcome = train_once(settings, system, python, works[system], batch_rows)
            speeds[system][batch_rows] = outcome["rows_per_second"]
            print(f"batch {batch_rows:<7} {spoken(system, outcome)}", flush=True)
    return {system: max(found, key=found.__getitem__) for system, found in speeds.items()}


def take_turns(
    settings: Settings,
    pythons: dict[str, Path],
    works: dict[str, Path],
    batches: dict[str, int],
) -> dict[str, list[dict[str, Any]]]:
    """Run every system once a round, and return each one's outcomes."""
    runs: dict[str, list[dict[str, Any]]] = {system: [] for system in pythons}
    for turn in range(settings.rounds):
        for system, found in runs.items():
            python, work = pythons[system], works[system]
            found.append(train_once(settings, system, python, work, batches[system]))
            print(f"round {turn + 1}/{settings.rounds}  {spoken(system, found[-1])}", flush=True)
    return runs


def spoken(system: str, outcome: dict[str, Any]) -> str:
    return f"{system:<14}{outcome['rows_per_second']:>9,.0f} rows/s in {outcome['seconds']:.1f} s"


def train_once(
    settings: Settings, system: str, python: Path, work: Path, batch_rows: int
) -> dict[str, Any]:
    """What one worker printed."""
    module = PEERS.get(system, "peers.trimtab_worker")
    rows = min(settings.rows, our_rows(batch_rows))
    if system in PEERS:
        rows = min(settings.peer_rows, peer_rows(batch_rows, settings.table_rows))
    sizes = {"batch-rows": batch_rows, "threads": settings.threads, "rows": rows}
    done = subprocess.run(
        [python, "-m", module, work, *(f"--{name}={size}" for name, size in sizes.items())],
        cwd=HERE,
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(settings.threads),
            "MKL_NUM_THREADS": str(settings.threads),
            "TRUNK": settings.model,
            **(settings.variant if system == OURS else {}),
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{system}: its worker failed:\n{done.stderr[-4000:]}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def summarise(
    settings: Settings, runs: dict[str, list[dict[str, Any]]], batches: dict[str, int]
) -> dict[str, Any]:
    systems = {
        system: summarise_runs(outcomes) | {"batch_rows": batches[system]}
        for system, outcomes in runs.items()
    }
    faster = max(settings.peers, key=lambda peer: systems[peer]["rows_per_second"])
    ratio = systems[OURS]["rows_per_second"] / systems[faster]["rows_per_second"]
    return {
        "ratio": ratio,
        "faster_peer": faster,
        "systems": systems,
        "settings": asdict(settings),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def summarise_runs(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    speeds = [outcome["rows_per_second"] for outcome in outcomes]
    return {
        "version": outcomes[0]["version"],
        "torch": outcomes[0]["torch"],
        "rows_per_second": median(speeds),
        "rows_per_second_min": min(speeds),
        "rows_per_second_max": max(speeds),
        "seconds": median(outcome["seconds"] for outcome in outcomes),
        "rows": outcomes[0]["rows"],
        "peak_memory_bytes": max(outcome["peak_memory_bytes"] for outcome in outcomes),
    }


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return model[1] if model else platform.processor() or platform.machine()


def print_table(summary: dict[str, Any]) -> None:
    def line(cells: Sequence[str]) -> str:
        return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))

    settings, machine = summary["settings"], summary["machine"]
    print(
        f"\n{machine['processor']}, {machine['cores']} cores, {settings['threads']} threads; "
        f"{settings['model']}, {settings['table_rows']:,} table rows, "
        f"medians of {settings['rounds']} rounds"
    )
    widths = (14, 9, 12, 7, 10, 10, 10, 8, 8)
    print(
        line(("system", "version", "torch", "batch", "rows/s", "min", "max", "seconds", "peak MB"))
    )
    for system, run in summary["systems"].items():
        speed = (run[f"rows_per_second{end}"] for end in ("", "_min", "_max"))
        name = (system, run["version"], run["torch"], str(run["batch_rows"]))
        cost = (f"{run['seconds']:.1f}", f"{run['peak_memory_bytes'] / 1e6:,.0f}")
        print(line((*name, *(f"{rows:,.0f}" for rows in speed), *cost)))
    speeds = summary["systems"].values()
    if any(run["rows_per_second_max"] > NOISY * run["rows_per_second_min"] for run in speeds):
        print(f"noisy: a system's rounds differ by more than {NOISY} x; is the machine idle?")
    print(f"trimtab trains {summary['ratio']:.1f} x the rows/s of {summary['faster_peer']}")


if __name__ == "__main__":
    main()
