"""What the run files of the examples reach on their valid rows: mean and spread over seeds.

python benchmarks/examples.py [--seeds 5] [--json] [kuairand/run census/run ...]
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

import trimtab
from trimtab.evaluation.measures import MEASURES

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="*", help="such as kuairand/run; all when left out")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    paths = sorted(EXAMPLES.glob("*/*.toml"))
    names = options.runs or [str(path.relative_to(EXAMPLES).with_suffix("")) for path in paths]
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}, seeds 0 to "
        f"{options.seeds - 1}\n"
    )
    print("| run file | target | metric | mean | deviation | lowest | seconds a run |")
    print("|---|---|---|---|---|---|---|")
    summary = [line for name in names for line in rows(name, options.seeds)]
    if options.json:
        print(json.dumps(summary))


def rows(name: str, seeds: int) -> Iterator[dict[str, Any]]:
    """Train one run file with every seed; print and return a line a metric."""
    outcomes = []
    start = time.perf_counter()
    for seed in range(seeds):
        settings = trimtab.load_settings(EXAMPLES / f"{name}.toml", [f"training.seed={seed}"])
        with tempfile.TemporaryDirectory() as folder:
            trimtab.train(settings, out=Path(folder) / "run")
            metrics = json.loads((Path(folder) / "run" / "metrics.json").read_text())
        outcomes.append(metrics["targets"])
    seconds = (time.perf_counter() - start) / seeds
    shown = [*(metric for m in MEASURES.values() for metric in m.metrics), "pcoc", "auc_given"]
    for target in outcomes[0]:
        for metric in (m for m in dict.fromkeys(shown) if outcomes[0][target].get(m) is not None):
            values = [outcome[target][metric] for outcome in outcomes]
            spread = stdev(values) if len(values) > 1 else 0.0
            line = {"run": name, "target": target, "metric": metric, "mean": mean(values)}
            line |= {"deviation": spread, "lowest": min(values), "seconds": seconds}
            print(
                f"| {name} | {target} | {metric} | {line['mean']:.4f} | {spread:.4f} | "
                f"{line['lowest']:.4f} | {seconds:.0f} |",
                flush=True,
            )
            yield line


if __name__ == "__main__":
    main()
