"""Quality of joint rankers: Trimtab's trunks against other packages, on the very same rows.

KuaiRand (click, long view, like over all rows; play time where a system can learn it) and
Census-Income (income, never married). The rows are encoded once, by Trimtab, and every system
reads the same ids. Each tries three learning rates on seed 0 (its default, a third and three times
of it), then trains every seed with the best; all stop early on the valid rows, which are also those
reported, so the numbers compare systems and say nothing of later days. Trimtab trains for at most
the epochs of the example's run file (--own-epochs), the other networks for --epochs, trees for
2,000 rounds. The other networks are evaluated as often, and wait as long, as the run file says
(--evaluations, --patience): with a run file of one evaluation an epoch and a patience of six, six
epochs are never cut short.

    python benchmarks/quality.py --results runs/quality/results.jsonl
    python benchmarks/quality.py --report runs/quality/results.jsonl

A training that is in the results file with the same epochs, evaluations and patience is not done
again, so a run may be stopped at any time, and two with different --systems may share a file. Peers
run in environments of their own, made on the first run under ``benchmarks/.peers``.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from quality.datasets import load, run_file
from quality.picture import draw
from quality.report import print_report, read_report
from quality.systems import NETWORKS, OURS, PEERS, candidates
from quality.trials import Budget, Results, WorkerError, work_through

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"


def main() -> None:
    options = parse_arguments()
    if options.report:
        report(options)
    else:
        sys.exit(train(options))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    default = Path("runs/quality/results.jsonl")
    parser.add_argument("--results", type=Path, metavar="FILE", default=default)
    parser.add_argument("--report", type=Path, metavar="FILE", help="report these results instead")
    parser.add_argument("--datasets", type=names, default=list(NETWORKS))
    parser.add_argument("--systems", type=names, default=[OURS, *PEERS])
    parser.add_argument("--models", type=names, help="of every system; all when left out")
    parser.add_argument("--trunks", type=names, help="of Trimtab alone: the same as --models")
    parser.add_argument("--play", action="store_true", help="peers also with the play time learnt")
    parser.add_argument("--rows", **number, help="of the log, for a quick look")
    parser.add_argument("--seeds", default=5, **number)
    parser.add_argument("--trials", default=3, choices=(1, 2, 3), **number)
    parser.add_argument("--epochs", default=6, **number, help="at most, of the other networks")
    parser.add_argument("--own-epochs", **number, help="at most, of Trimtab; else the run file's")
    parser.add_argument(
        "--evaluations", **number, help="an epoch, of the other networks; else the run file's"
    )
    parser.add_argument(
        "--patience", **number, help="in evaluations, of the other networks; else the run file's"
    )
    parser.add_argument("--threads", default=1, **number)
    parser.add_argument("--against", metavar="SYSTEM/MODEL", help="the example's own when left out")
    parser.add_argument("--pictures", type=Path, default=PICTURES, metavar="FOLDER")
    options = parser.parse_args()
    unknown = set(options.systems) - {OURS, *PEERS} | set(options.datasets) - set(NETWORKS)
    if unknown:
        parser.error(
            f"unknown: {', '.join(sorted(unknown))}; known are {', '.join([OURS, *PEERS])}"
            f" and {', '.join(NETWORKS)}"
        )
    return options


def names(text: str) -> list[str]:
    return text.split(",")


def train(options: argparse.Namespace) -> int:
    """Do every training that is not done; return how many models failed."""
    results, failed = Results(options.results), 0
    budget = Budget(
        seeds=options.seeds,
        trials=options.trials,
        threads=options.threads,
        epochs=options.epochs,
        own_epochs=options.own_epochs,
        evaluations=options.evaluations,
        patience=options.patience,
    )
    for name in options.datasets:
        dataset = load(name, options.results.parent / "data", rows=options.rows)
        for system in options.systems:
            models = options.models or (options.trunks if system == OURS else None)
            for candidate in candidates(dataset, [system], models, play=options.play):
                try:
                    for line in work_through(results, dataset, candidate, budget):
                        print(told(line), flush=True)
                except WorkerError as error:
                    failed += 1
                    print(error, file=sys.stderr, flush=True)
    return failed


def told(line: dict[str, Any]) -> str:
    metrics = "  ".join(
        f"{target} {metric} {value:.4f}"
        for target, found in line["metrics"].items()
        for metric, value in list(found.items())[:1]
    )
    what = f"{line['dataset']} {line['system']} {line['model']}"
    return (
        f"{what:<42} rate {line['learning_rate']:<8.2g} seed {line['seed']}  {metrics}  "
        f"{line['seconds']:.0f} s, of the processor {line['processor_seconds']:.0f} s, "
        f"{line['peak_memory_bytes'] / 1e6:,.0f} MB"
    )


def report(options: argparse.Namespace) -> None:
    for name in options.datasets:
        against = options.against or f"{OURS}/{run_file(name).trunk.kind}"
        rows = read_report(Results(options.report), name, against=against)
        if rows:
            print_report(name, rows)
            draw(name, rows, options.pictures / f"quality-{name}.svg", against=against)


if __name__ == "__main__":
    main()
