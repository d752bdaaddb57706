"""What steering loses to the true optimum on simulated feeds, at three correlations.

python benchmarks/steering_truth.py [--rows 120000] [--weightings 8] [--seeds 5] [--results FILE]
                                    [--picture FILE] [--json]

Feeds whose targets' hidden factors correlate by .9, .5 and 0, one a correlation; shares of stop,
click, like and play from Dirichlet(.5), each weight its share over the mean label. The true optimum
orders the valid days by ``sum_k w_k E[y_k]`` with the simulator's own expectations; C of every
order is taken against the gains that happened, on all valid rows, where what was not reached
counts 0. Regret to the truth is C of the true order less C of a model's, the mean over seeds.

Models: the default multi-target model, trained once a seed and steered; a blend retrained for each
weighting, the better of both forms by the days before the valid ones; and the multi-target model
retrained with the shares as loss weights. Each stops by those earlier days and trains anew on all
days before the valid ones for as many epochs. Of a results file only lines of as many rows and
seeds are gone on from.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from results_file import ResultsFile
from seesaw import CORRELATIONS, settings_of
from steering_truth_picture import draw as draw_picture

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.data.split import split
from trimtab.evaluation.metrics import utility
from trimtab.training.regret import Floats, Weighting, draw, fused, regret
from trimtab.training.retraining import Retraining

MODELS = ("steered", "blend", "reweighted")
RETRAINED = MODELS[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--weightings", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, help="JSON lines to write, and to go on from")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {options.rows:,} rows, "
        f"{options.weightings} weightings, {options.seeds} seeds\n"
    )
    file = ResultsFile(options.results, {"rows": options.rows, "seeds": options.seeds})
    done = [entry for entry in file.done() if entry["number"] < options.weightings]
    for correlation in CORRELATIONS:
        had = {entry["number"] for entry in done if entry["correlation"] == correlation}
        for entry in run(options.rows, correlation, options.weightings, options.seeds, had):
            done.append(file.add(entry))
            print(line(entry), flush=True)
    found = summarise(done)
    print("\n" + table(found))
    if options.picture:
        options.picture.write_text(draw_picture(done), encoding="utf-8")
    if options.json:
        print(json.dumps({"correlations": found}))


def run(
    rows: int, correlation: float, weightings: int, seeds: int, had: set[int]
) -> Iterator[dict[str, Any]]:
    """Train every model of one feed; yield one entry a weighting that is not had."""
    if had >= set(range(weightings)):
        return
    settings = settings_of(0, {})
    models, truth = feed(settings, rows, correlation, range(seeds))
    models.steer()
    for number, weighting in enumerate(draw(models.means, weightings, seed=0)):
        if number not in had:
            yield {
                "correlation": correlation,
                "number": number,
                "shares": weighting.shares,
            } | one(models, weighting, fused(truth, weighting))


def feed(
    settings: RunSettings, rows: int, correlation: float, seeds: Sequence[int]
) -> tuple[Retraining, dict[str, Floats]]:
    """Simulate; return the models of the feed, and each target's true mean on the valid rows."""
    simulated = simulate(SimulationSettings(rows=rows, correlation=correlation, seed=0))
    targets = list(settings.targets)
    true = {name: f"true {name}" for name in targets}
    log = simulated.log.hstack(simulated.truth.select(targets).rename(true))
    log = log.join(simulated.users, on="user_id").join(simulated.items, on="item_id")
    models = Retraining(settings, prepare(settings.plan(), log), targets, seeds=seeds)
    valid = split(log, settings.data)[1].with_columns(pl.col(targets).fill_null(0))
    for name in targets:  # The truth stands beside the rows that are scored, in their order.
        np.testing.assert_allclose(valid[name].to_numpy(), models.labels[name], rtol=1e-6)
    return models, {name: valid[column].to_numpy() for name, column in true.items()}


def one(models: Retraining, weighting: Weighting, truth: Floats) -> dict[str, Any]:
    """Return what each model loses to the truth, and steering to each retrained one."""
    started = time.perf_counter()
    gain = models.gain(weighting)
    blend, reweighted = models.blend(weighting), models.reweighted(weighting)
    scores = {
        "steered": models.steered(weighting),
        "blend": blend.scores,
        "reweighted": reweighted.scores,
    }
    against = {name: asdict(models.regret(weighting, scores[name])) for name in RETRAINED}
    return {
        "truth": utility(gain, truth),
        "to_truth": {name: to_truth(gain, scores[name], truth, models.users) for name in MODELS},
        "against": against,
        "form": blend.form,
        "seconds": time.perf_counter() - started,
    }


def to_truth(gain: Floats, scores: list[Floats], truth: Floats, users: Any) -> dict[str, Any]:
    found = regret(gain, scores, [truth], users)
    return {
        "regret": found.regret,
        "interval": found.interval,
        "noise": float(np.std([utility(gain, score) for score in scores], ddof=1)),
    }


def summarise(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one summary a correlation."""
    found = []
    for correlation in CORRELATIONS:
        here = [entry for entry in entries if entry["correlation"] == correlation]
        if here:
            truth = float(np.mean([entry["truth"] for entry in here]))
            found.append(
                {
                    "correlation": correlation,
                    "weightings": len(here),
                    "truth": truth,
                    "to_truth": {name: _summary(here, "to_truth", name) for name in MODELS},
                    "against": {name: _summary(here, "against", name) for name in RETRAINED},
                }
            )
    return found


def _summary(entries: list[dict[str, Any]], what: str, name: str) -> dict[str, float]:
    found = [entry[what][name] for entry in entries]
    return {
        "mean_regret": float(np.mean([one["regret"] for one in found])),
        "median_regret": float(np.median([one["regret"] for one in found])),
        "max_regret": max(one["regret"] for one in found),
        "largest_lower_bound": max(one["interval"][0] for one in found),
        "lost": len([one for one in found if one["interval"][0] > 0]),
        "won": len([one for one in found if one["interval"][1] < 0]),
        "noise": float(np.mean([one["noise"] for one in found])),
    }


def line(entry: dict[str, Any]) -> str:
    shares = " : ".join(f"{share:.2f}" for share in entry["shares"].values())
    cells = [_of(entry["to_truth"][name]) for name in MODELS]
    cells += [_of(entry["against"][name]) for name in RETRAINED]
    return f"| {entry['correlation']} | {shares} | {entry['truth']:.4f} | {' | '.join(cells)} |"


def _of(one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{one['regret']:+.4f} ({low:+.4f} to {high:+.4f})"


def table(found: list[dict[str, Any]]) -> str:
    heads = [f"{name}, to the truth: mean (worst)" for name in MODELS]
    heads += [
        f"steered to {name}: mean, median, worst; largest lower bound; lost, won beyond chance"
        for name in RETRAINED
    ]
    lines = [f"| correlation | C of the truth | {' | '.join(heads)} |", "|---|---|" + "---|" * 5]
    for row in found:
        cells = [
            f"{one['mean_regret']:+.4f} ({one['max_regret']:+.4f})"
            for one in row["to_truth"].values()
        ] + [
            f"{one['mean_regret']:+.4f}, {one['median_regret']:+.4f}, {one['max_regret']:+.4f}; "
            f"{one['largest_lower_bound']:+.4f}; {one['lost']}, {one['won']}"
            for one in row["against"].values()
        ]
        lines.append(f"| {row['correlation']} | {row['truth']:.4f} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
