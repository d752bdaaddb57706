"""The seesaw on simulated feeds: joint models against single-target ones, at three correlations.

python benchmarks/seesaw.py [--rows 120000] [--seeds 5] [--results FILE] [--picture FILE] [--json]

Three targets of a funnel and the seconds played, on feeds whose targets' hidden factors correlate
by .9, .5 and 0. Each joint model, the default and a plain shared bottom (no tables of the targets'
own, no first-order term), is compared with models trained for one target alone: same features,
widths, budget and seeds, each stopped by its own metric on the valid days. What is printed is the
difference of AUC (XAUC for seconds), mean over seeds, with 95 % of Student's t over the seeds. Of a
results file only lines of as many rows are gone on from.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from results_file import T_OF_VALUES, ResultsFile, half_width

from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.training.alone import Alone
from trimtab.training.build import build_state
from trimtab.training.in_memory import train_in_memory

CORRELATIONS = (0.9, 0.5, 0.0)
JOINT: dict[str, dict[str, Any]] = {
    "default": {},
    "plain shared bottom": {"embedding": {"own_width": 0, "first_order": False}},
}
TICK = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--seeds", type=int, default=5, choices=sorted(T_OF_VALUES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, help="JSON lines to write, and to go on from")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {options.rows:,} rows, "
        f"{options.seeds} seeds\n"
    )
    file = ResultsFile(options.results, {"rows": options.rows})
    done = [entry for entry in file.done() if entry["seed"] < options.seeds]
    had = {(entry["correlation"], entry["seed"]) for entry in done}
    done += map(file.add, trainings(options.rows, options.seeds, had))
    found = differences(done)
    print(table(found))
    if options.picture:
        options.picture.write_text(draw(found), encoding="utf-8")
    if options.json:
        print(json.dumps(found))


def settings_of(seed: int, changes: dict[str, Any]) -> RunSettings:
    return parse(
        {
            "data": {"time": "time_ms", "user": "user_id", "valid": "2d"},
            "features": {
                **dict.fromkeys(("user_id", "item_id", "user_age_band", "user_city"), "id"),
                **dict.fromkeys(("item_topic", "item_author", "hour"), "id"),
                "item_seconds": {"kind": "number", "scale": "log"},
            },
            "targets": {
                "stop": "binary",
                "click": {"kind": "binary", "given": "stop"},
                "like": {"kind": "binary", "given": "click"},
                "play": {"kind": "duration", "unit": "s", "given": "click"},
            },
            "training": {"epochs": 3, "seed": seed},
            **changes,
        }
    )


def trainings(rows: int, seeds: int, had: set[tuple[float, int]]) -> Iterator[dict[str, Any]]:
    """Train every model that is not had; yield one entry a correlation and seed."""
    for correlation in CORRELATIONS:
        for seed in range(seeds):
            if (correlation, seed) not in had:
                yield {"correlation": correlation, "seed": seed} | one(rows, correlation, seed)


def one(rows: int, correlation: float, seed: int) -> dict[str, Any]:
    feed = simulate(SimulationSettings(rows=rows, correlation=correlation, seed=seed))
    log = feed.log.join(feed.users, on="user_id").join(feed.items, on="item_id")
    found = {name: best(settings_of(seed, changes), log) for name, changes in JOINT.items()}
    whole = settings_of(seed, {})
    alone = {t: best(Alone.of(whole, t), log, t)[t] for t in whole.targets}
    return {"joint": found, "alone": alone}


def best(settings: RunSettings, log: pl.DataFrame, target: str | None = None) -> dict[str, float]:
    """Train; return each target's ranking metric as served, or ``target``'s at its own best."""
    prepared = prepare(settings.plan(), log)
    state = build_state(settings, prepared)
    return dict(train_in_memory(state, settings, prepared, target).metrics)


def differences(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return joint less alone of every target, with the interval over seeds."""
    found = []
    for correlation in CORRELATIONS:
        here = [entry for entry in entries if entry["correlation"] == correlation]
        for name in JOINT:
            for target in here[0]["alone"] if here else ():
                values = np.array([e["joint"][name][target] - e["alone"][target] for e in here])
                half = half_width(values)
                found.append(
                    {
                        "correlation": correlation,
                        "model": name,
                        "target": target,
                        "difference": float(values.mean()),
                        "interval": [float(values.mean() - half), float(values.mean() + half)],
                    }
                )
    return found


def table(found: list[dict[str, Any]]) -> str:
    targets = list(dict.fromkeys(one["target"] for one in found))
    lines = [
        f"| correlation | model | {' | '.join(targets)} | worst |",
        "|---|---|" + "---|" * (len(targets) + 1),
    ]
    for correlation in CORRELATIONS:
        for name in JOINT:
            row = [f for f in found if f["correlation"] == correlation and f["model"] == name]
            if row:
                worst = min(f["difference"] for f in row)
                cells = [f"{f['difference']:+.4f} ± {f['interval'][1] - f['difference']:.4f}"
                         for f in row]  # fmt: skip
                lines.append(f"| {correlation} | {name} | {' | '.join(cells)} | {worst:+.4f} |")
    return "\n".join(lines)


def draw(found: list[dict[str, Any]]) -> str:
    """Draw a dot with its interval for every target, model and correlation."""
    rows = [(c, t) for c in CORRELATIONS for t in dict.fromkeys(f["target"] for f in found)]
    low = min(min(f["interval"][0] for f in found), -0.002)
    high = max(max(f["interval"][1] for f in found), 0.002)
    left, width, step, top = 190, 470, 26, 64

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * width

    height = top + step * len(rows) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 {height}" font-family='
        '"system-ui, sans-serif" font-size="13">',
        f'<rect width="700" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-weight="600" font-size="15">Joint model less single-target '
        "models: AUC (XAUC for play)</text>",
    ]
    colours = dict(zip(JOINT, ("#0b6e99", "#c2410c"), strict=True))
    for i, (name, colour) in enumerate(colours.items()):
        parts.append(f'<circle cx="{left + 170 * i}" cy="44" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{left + 170 * i + 10}" y="48">{name}</text>')
    bottom = top + step * len(rows)
    parts.append(f'<path d="M{x(0):.1f} {top}V{bottom}" stroke="#64748b" stroke-width="1"/>')
    for i, (correlation, target) in enumerate(rows):
        y = top + step * i + step / 2
        label = f"correlation {correlation}: {target}"
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        for j, f in enumerate(
            f for f in found if f["correlation"] == correlation and f["target"] == target
        ):
            at, colour = y - 4 + 8 * j, colours[f["model"]]
            a, b = (x(end) for end in f["interval"])
            line = f'<path d="M{a:.1f} {at:.1f}H{b:.1f}" stroke="{colour}" stroke-width="2"/>'
            dot = f'<circle cx="{x(f["difference"]):.1f}" cy="{at:.1f}" r="4" fill="{colour}"/>'
            parts += [line, dot]
    for value in np.arange(np.ceil(low / TICK) * TICK, high, TICK):
        parts.append(
            f'<text x="{x(value):.1f}" y="{bottom + 22}" text-anchor="middle" fill="#475569">'
            f"{value:+.2f}</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    main()
