"""What one steered model loses against retraining for each weighting, on KuaiRand.

python benchmarks/steering_regret.py [--weightings 20] [--seeds 5] [-s trunk.kind=shared_bottom]
                                     [--results FILE] [--picture FILE] [--json]

Weightings: shares of click, long_view, like and play from Dirichlet(.5); each weight is its share
over the mean label. Every model is stopped on the last days before the valid ones, trains anew on
all days before them for as many epochs, and is measured on the valid days (4 to 5 May).

Retrained for each weighting: a blend in either form and of two widths, the best of the four by the
earlier days; and the multi-target model with the shares as loss weights. Steered: the example's
run, or what ``-s`` makes of it for all of them, once a seed. Regret is C of the retrained less C of
the steered; below 0, steering won. Of a results file only lines of the same changes (``-s``) and as
many seeds are gone on from.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import ResultsFile
from steering_regret_picture import draw as draw_picture

import trimtab
from trimtab.data.prepare import prepare
from trimtab.training.regret import Weighting, draw
from trimtab.training.retraining import Retraining

RUN = Path(__file__).resolve().parents[1] / "examples" / "kuairand" / "run.toml"
WIDTHS = ([64, 32, 16], [256, 128, 64])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weightings", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-s", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--results", type=Path, help="JSON lines to write, and to go on from")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {options.seeds} seeds\n"
    )
    file = ResultsFile(options.results, {"changes": options.changes, "seeds": options.seeds})
    done = [entry for entry in file.done() if entry["number"] < options.weightings]
    had = {entry["number"] for entry in done}
    settings = trimtab.load_settings(RUN, options.changes)
    for entry in run(settings, options.weightings, options.seeds, had):
        done.append(file.add(entry))
        print(_row(entry), flush=True)
    summary = summarise(done)
    print("\n" + table(done, summary))
    if options.picture:
        options.picture.write_text(draw_picture(done), encoding="utf-8")
    if options.json:
        print(json.dumps(summary))


def run(
    settings: trimtab.RunSettings, weightings: int, seeds: int, had: set[int]
) -> Iterator[dict[str, Any]]:
    """Train every model; yield one entry a weighting that is not had."""
    if had >= set(range(weightings)):
        return
    prepared = prepare(settings.plan())
    models = Retraining(
        settings, prepared, list(settings.targets), seeds=range(seeds), widths=WIDTHS
    )
    models.steer()
    for number, weighting in enumerate(draw(models.means, weightings, seed=0)):
        if number not in had:
            yield {
                "number": number,
                "shares": weighting.shares,
                "steered_seconds": models.steered_seconds,
            } | one(models, weighting)


def one(models: Retraining, weighting: Weighting) -> dict[str, Any]:
    blend, many = models.blend(weighting), models.reweighted(weighting)
    chosen = {"chosen": f"{blend.form} {blend.width}"}
    return {
        "blend": asdict(models.regret(weighting, blend.scores)) | chosen,
        "reweighted": asdict(models.regret(weighting, many.scores)),
        "retrained_seconds": blend.seconds,
    }


def summarise(entries: list[dict[str, Any]]) -> dict[str, Any]:
    regrets = [entry["blend"]["regret"] for entry in entries]
    others = [entry["reweighted"]["regret"] for entry in entries]
    return {
        "mean_regret": float(np.mean(regrets)),
        "max_regret": float(np.max(regrets)),
        "largest_lower_bound": max(entry["blend"]["interval"][0] for entry in entries),
        "mean_regret_reweighted": float(np.mean(others)),
        "max_regret_reweighted": float(np.max(others)),
        "largest_lower_bound_reweighted": max(e["reweighted"]["interval"][0] for e in entries),
        "weightings": len(entries),
        "steered_seconds": entries[0]["steered_seconds"],
        "retrained_seconds": sum(entry["retrained_seconds"] for entry in entries),
    }


def _row(entry: dict[str, Any]) -> str:
    blend, many = entry["blend"], entry["reweighted"]
    shares = " : ".join(f"{share:.2f}" for share in entry["shares"].values())
    return (
        f"| {shares} | {blend['steered']:.4f} | {blend['retrained']:.4f} ({blend['chosen']}) | "
        f"{blend['regret']:+.4f} ({blend['interval'][0]:+.4f} to {blend['interval'][1]:+.4f}) | "
        f"{blend['noise']:.4f} | "
        f"{many['regret']:+.4f} ({many['interval'][0]:+.4f} to {many['interval'][1]:+.4f}) |"
    )


def table(entries: list[dict[str, Any]], summary: dict[str, Any]) -> str:
    head = (
        f"| shares {' : '.join(entries[0]['shares'])} | C steered | C retrained (blend) | regret | "
        "seeds' noise | regret against loss weights |\n|---|---|---|---|---|---|"
    )
    foot = (
        f"\nmean regret {summary['mean_regret']:+.4f}, largest {summary['max_regret']:+.4f}, "
        f"largest lower bound {summary['largest_lower_bound']:+.4f}; against loss weights "
        f"{summary['mean_regret_reweighted']:+.4f}, {summary['max_regret_reweighted']:+.4f}, "
        f"{summary['largest_lower_bound_reweighted']:+.4f}. One steered training "
        f"{summary['steered_seconds']:.0f} s; retraining for {summary['weightings']} weightings "
        f"{summary['retrained_seconds']:,.0f} s."
    )
    return "\n".join([head, *map(_row, entries), foot])


if __name__ == "__main__":
    main()
