"""Training rows a second: Trimtab against DeepCTR-Torch and torch-rechub, on the same rows.

Every system trains its own shared bottom (20 id features, 4 numbers, 5 binary targets) through
its own public trainer, in its own process; each peer in its own environment, made on the first
run under ``benchmarks/.peers``. The systems take turns, so a slow minute of the machine falls on
all of them. A run is timed over its batches only: no imports, no building, no evaluation.

    python benchmarks/training_speed.py [--table-rows 10000000] [--equal-towers] [--json]

Trimtab has one tower with five heads, its own form; ``--equal-towers`` gives it a tower a target,
the only form the peers have.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".peers"
REQUIREMENTS = HERE / "peers" / "requirements.txt"
PEERS = {"deepctr-torch": "peers.deepctr_torch", "torch-rechub": "peers.torch_rechub"}
OURS = "trimtab"

SMALL_VOCABULARIES = (10, 10, 100, 100, 1_000, 1_000)
LARGE_SHARES = (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64)
NUMBERS = 4
TARGETS = 5
ZIPF_EXPONENT = 1.2
ZIPF_ABOVE = 1_000
NOISY = 1.3


@dataclass(frozen=True, kw_only=True)
class Settings:
    table_rows: int
    batch_rows: int
    rows: int
    peer_rows: int
    rounds: int
    threads: int
    seed: int


def main() -> None:
    options = parse_arguments()
    as_json = options.pop("json")
    if options.pop("equal_towers"):
        os.environ["EQUAL_TOWERS"] = "1"
    settings = Settings(**options)
    pythons = {OURS: Path(sys.executable)} | {peer: environment(peer) for peer in PEERS}

    with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
        works = write_work(settings, Path(folder))
        runs = take_turns(settings, pythons, works)

    summary = summarise(settings, runs)
    print_table(summary)
    if as_json:
        print(json.dumps(summary))


def parse_arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    number: dict[str, Any] = {"type": positive, "metavar": "N"}
    parser.add_argument("--table-rows", default=1_000_000, **number, help="sum of the vocabularies")
    parser.add_argument("--batch-rows", default=4096, **number)
    parser.add_argument("--rows", **number, help="rows Trimtab trains on in a round")
    parser.add_argument("--peer-rows", **number, help="rows a peer trains on in a round")
    parser.add_argument("--equal-towers", action="store_true", help="a tower a target for Trimtab")
    parser.add_argument("--rounds", default=5, **number)
    parser.add_argument("--threads", default=2, **number)
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = vars(parser.parse_args())
    if options["table_rows"] < 10_000:
        parser.error("--table-rows: at least 10000, so that the large vocabularies are not empty")
    # Five to fifteen seconds a run: a peer's every batch also costs a pass over its tables.
    peer_batches = min(max(8, 40_000_000 // options["table_rows"]), 40)
    options["rows"] = options["rows"] or 512 * options["batch_rows"]
    options["peer_rows"] = options["peer_rows"] or peer_batches * options["batch_rows"]
    return options


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


def draw_rows(settings: Settings) -> dict[str, NDArray[Any]]:
    """Rows whose labels depend on every id and number, so that there is something to learn."""
    random = np.random.default_rng(settings.seed)
    rows = max(settings.rows, settings.peer_rows)
    vocabularies = share_out(settings.table_rows)

    ids = np.empty((rows, len(vocabularies)), np.int32)
    affinity = np.zeros(rows, np.float32)
    for feature, vocabulary in enumerate(vocabularies):
        ids[:, feature] = draw_ids(random, rows, vocabulary)
        effect = random.normal(scale=len(vocabularies) ** -0.5, size=vocabulary)
        affinity += effect.astype(np.float32)[ids[:, feature]]

    numbers = random.standard_normal((rows, NUMBERS), np.float32)
    slopes = random.standard_normal((NUMBERS, TARGETS), np.float32) / NUMBERS
    logits = affinity[:, None] + numbers @ slopes - np.linspace(0, 3, TARGETS, dtype=np.float32)
    labels = random.random((rows, TARGETS), np.float32) < 1 / (1 + np.exp(-logits))
    return {
        "ids": ids,
        "numbers": numbers,
        "labels": labels.astype(np.float32),
        "vocabularies": np.array(vocabularies, np.int64),
    }


def share_out(table_rows: int) -> list[int]:
    """Vocabularies of mixed size that sum to ``table_rows``."""
    left = table_rows - sum(SMALL_VOCABULARIES)
    large = [left * share // sum(LARGE_SHARES) for share in LARGE_SHARES]
    large[-1] += left - sum(large)
    return [*SMALL_VOCABULARIES, *large]


def draw_ids(random: np.random.Generator, rows: int, vocabulary: int) -> NDArray[np.int64]:
    if vocabulary <= ZIPF_ABOVE:
        return random.integers(vocabulary, size=rows)
    mass = np.cumsum(np.arange(1, vocabulary + 1, dtype=np.float64) ** -ZIPF_EXPONENT)
    ranks = np.searchsorted(mass, random.random(rows) * mass[-1])
    shuffled = random.permutation(vocabulary)  # frequent ids do not lie side by side
    ids: NDArray[np.int64] = shuffled[ranks]
    return ids


def take_turns(
    settings: Settings, pythons: dict[str, Path], works: dict[str, Path]
) -> dict[str, list[dict[str, Any]]]:
    """Run every system once a round, and return each one's outcomes."""
    runs: dict[str, list[dict[str, Any]]] = {system: [] for system in pythons}
    for turn in range(settings.rounds):
        for system in runs:
            outcome = train_once(settings, system, pythons[system], works[system])
            runs[system].append(outcome)
            speed = f"{outcome['rows_per_second']:>9,.0f} rows/s in {outcome['seconds']:.1f} s"
            print(f"round {turn + 1}/{settings.rounds}  {system:<14}{speed}", flush=True)
    return runs


def train_once(settings: Settings, system: str, python: Path, work: Path) -> dict[str, Any]:
    """What one worker printed."""
    module = PEERS.get(system, "peers.trimtab_worker")
    batch_rows, threads = str(settings.batch_rows), str(settings.threads)
    done = subprocess.run(
        [python, "-m", module, work, "--batch-rows", batch_rows, "--threads", threads],
        cwd=HERE,
        env={
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{system}: its worker failed:\n{done.stderr[-4000:]}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def summarise(settings: Settings, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    systems = {system: summarise_runs(outcomes) for system, outcomes in runs.items()}
    faster = max(PEERS, key=lambda peer: systems[peer]["rows_per_second"])
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
        f"{settings['table_rows']:,} table rows, batches of {settings['batch_rows']:,}, "
        f"medians of {settings['rounds']} rounds"
    )
    widths = (14, 9, 12, 10, 10, 10, 8, 8)
    print(line(("system", "version", "torch", "rows/s", "min", "max", "seconds", "peak MB")))
    for system, run in summary["systems"].items():
        speed = (run[f"rows_per_second{end}"] for end in ("", "_min", "_max"))
        name = (system, run["version"], run["torch"])
        cost = (f"{run['seconds']:.1f}", f"{run['peak_memory_bytes'] / 1e6:,.0f}")
        print(line((*name, *(f"{rows:,.0f}" for rows in speed), *cost)))
    speeds = summary["systems"].values()
    if any(run["rows_per_second_max"] > NOISY * run["rows_per_second_min"] for run in speeds):
        print(f"noisy: a system's rounds differ by more than {NOISY} x; is the machine idle?")
    print(f"trimtab trains {summary['ratio']:.1f} x the rows/s of {summary['faster_peer']}")


if __name__ == "__main__":
    main()
