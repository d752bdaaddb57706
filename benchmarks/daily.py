"""KuaiRand day by day: going on from yesterday's run, against training anew on all days so far.

python benchmarks/daily.py [--seeds 5] [--epochs 1] [--results FILE] [--picture FILE] [--json]

For each day d from the second on: ``daily`` goes on from the day before on the rows of d alone, as
``trimtab train --from`` does; ``anew`` trains on all rows up to d; ``late`` is yesterday's daily
model, which has not seen d. All are scored on d + 1, which nothing was trained or stopped on: the
number of epochs is fixed. Seconds are of encoding and training. ``-s key=value`` changes settings.
Of a results file only lines of the same changes and epochs are gone on from.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import polars as pl
import torch
from markupsafe import Markup
from results_file import T_OF_VALUES, ResultsFile, half_width

import trimtab
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Base, Prepared, prepare
from trimtab.data.read import read
from trimtab.evaluation.charts import Line, element, line_chart
from trimtab.evaluation.evaluate import Evaluation
from trimtab.training import checkpoint
from trimtab.training.build import build_state
from trimtab.training.loop import train
from trimtab.training.state import State
from trimtab.training.takeover import Layout, take_over

RUN = Path(__file__).resolve().parents[1] / "examples" / "kuairand" / "run.toml"
WAYS = ("daily", "anew", "late")

STYLE = """
svg { font: 12px system-ui, sans-serif; background: #fff; } text { fill: #24292f; }
.tick, .label { fill: #57606a; font-size: 11px; } .grid, .axis { stroke: #d8dee4; }
.line { fill: none; stroke-width: 2; } .lead { stroke: #d8dee4; }
.s0 { stroke: #0969da; fill: #0969da; } .s1 { stroke: #8c959f; fill: #8c959f; }
.s2 { stroke: #bf8700; fill: #bf8700; } text.name { stroke: none; }
"""

Entry = dict[str, Any]
Yesterday = tuple[State, Prepared]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, choices=(1, *T_OF_VALUES), metavar="N")
    parser.add_argument("--epochs", type=int, default=1, help="of either way, each time")
    parser.add_argument("--days", type=int, default=99, help="the first ones only")
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
    file = ResultsFile(options.results, {"changes": options.changes, "epochs": options.epochs})
    had, done = file.done(), []
    for seed in range(options.seeds):
        changes = [f"training.seed={seed}", *options.changes]
        feed = Feed(changes, options.epochs, options.days)
        done += [e for e in had if e["seed"] == seed and e["day"] in feed.scored]
        missing = feed.missing([entry for entry in done if entry["seed"] == seed])
        done += [file.add({"seed": seed, **entry}) for entry in missing]
    found = summary(done, options.seeds)
    print(table(found))
    if options.picture:
        options.picture.write_text(str(draw(found)) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(found))


class Feed:
    """One seed's trainings, in memory and with a fixed number of epochs."""

    def __init__(self, changes: Sequence[str], epochs: int, days: int) -> None:
        fixed = ["training.evaluations=1", f"training.epochs={epochs}", "training.patience=1000"]
        settings = trimtab.load_settings(RUN, [*changes, *fixed])
        self.content = settings.model_dump(mode="json")
        self.log = read(settings.data.log or "")
        self.days = self.log["date"].unique().sort().to_list()[: days + 1]
        self.scored = self.days[1:-1]

    def missing(self, done: Sequence[Entry]) -> Iterator[Entry]:
        """Yield what is not done: ``daily`` and ``late`` of all days at once, then ``anew``."""
        had = {(entry["way"], entry["day"]) for entry in done}
        if any((way, day) not in had for way in ("daily", "late") for day in self.scored):
            yield from (e for e in self.daily() if (e["way"], e["day"]) not in had)
        for i, day in enumerate(self.days[:-1]):
            if i and ("anew", day) not in had:
                yield self.trained("anew", i, self.days[: i + 1], None)[0]

    def daily(self) -> Iterator[Entry]:
        """Train day after day, each from the day before."""
        yesterday: Yesterday | None = None
        for i in range(len(self.days) - 1):
            entry, today = self.trained("daily", i, self.days[i : i + 1], yesterday)
            if yesterday is not None:
                yield entry
                yield {**entry, "way": "late", "ranks": self.late(yesterday, i), "seconds": 0.0}
            yesterday = today

    def trained(
        self, way: str, i: int, days: Sequence[int], yesterday: Yesterday | None
    ) -> tuple[Entry, Yesterday]:
        """Train on some days, from nothing or from yesterday's; score on the day after."""
        settings, frame = self.settings(i), self.rows([*days, self.days[i + 1]])
        started = time.perf_counter()
        base = yesterday and Base(key="", statistics=yesterday[1].statistics)
        prepared = prepare(replace(settings.plan(), base=base), frame)
        state = build_state(settings, prepared)
        if yesterday is not None:
            layout = Layout.of(yesterday[0].model.features.tables)
            take_over(state, yesterday[0].tensors(), layout, balancing=True)
        fit(state, prepared, settings, renewed=yesterday is None)
        seconds = time.perf_counter() - started
        ranks = Evaluation(state.model, prepared.valid).ranks()
        entry = {"way": way, "day": self.days[i], "ranks": ranks, "seconds": seconds}
        print(way, self.days[i], *(f"{n} {v:.4f}" for n, v in ranks.items()), f"{seconds:.1f} s")
        return entry, (state, prepared)

    def late(self, yesterday: Yesterday, i: int) -> dict[str, float]:
        """Score yesterday's model on the day after today."""
        state, prepared = yesterday
        base = Base(key="", statistics=prepared.statistics, complete=True)
        plan = replace(self.settings(i).plan(), base=base)
        rows = self.rows(self.days[i : i + 2])
        return Evaluation(state.model, prepare(plan, rows).valid).ranks()

    def settings(self, i: int) -> RunSettings:
        """Hold out the day after day ``i``."""
        data = self.content["data"] | {"valid": {"column": "date", "values": [self.days[i + 1]]}}
        return parse(self.content | {"data": data})

    def rows(self, days: Sequence[int]) -> pl.DataFrame:
        return self.log.filter(pl.col("date").is_in(days))


def fit(state: State, prepared: Prepared, settings: RunSettings, *, renewed: bool) -> None:
    """Train all epochs; ``renewed`` tables are drawn anew, others go back to where they were."""

    def nothing(*_: object) -> None:
        return

    with tempfile.TemporaryDirectory() as folder:
        if not renewed and settings.training.renew_tables and settings.training.epochs > 1:
            state.origin = Path(folder, "start.safetensors")
            checkpoint.save(state.origin, state.tables(), {})
        train(state, prepared.train, settings.training, evaluate=dict, save=nothing,
              progress=nothing)  # fmt: skip


def summary(done: Sequence[Entry], seeds: int) -> Entry:
    """Return means over seeds by day, and the mean difference over days with its interval."""
    days = sorted({entry["day"] for entry in done})
    targets = list(done[0]["ranks"])
    entries = {(e["seed"], e["way"], e["day"]): e for e in done}

    def over(way: str, target: str) -> np.ndarray[Any, Any]:
        found = [[entries[s, way, day]["ranks"][target] for day in days] for s in range(seeds)]
        return np.array(found)

    def seconds(way: str) -> list[float]:
        return [mean(entries[s, way, day]["seconds"] for s in range(seeds)) for day in days]

    gains = {}
    for name in targets:
        for other in ("anew", "late"):
            values = (over("daily", name) - over(other, name)).mean(axis=1)
            half = half_width(values) if seeds > 1 else None
            gains[f"{name} daily - {other}"] = {"mean": float(values.mean()), "half": half}
    return {
        "days": days,
        "ranks": {w: {t: over(w, t).mean(axis=0).tolist() for t in targets} for w in WAYS},
        "seconds": {way: seconds(way) for way in WAYS},
        "differences": gains,
        "seeds": seeds,
    }


def table(found: Entry) -> str:
    targets = list(found["ranks"]["daily"])
    head = ["day", *targets, "seconds daily / anew"]
    lines = ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for i, day in enumerate(found["days"]):
        cells = [
            " / ".join(f"{found['ranks'][way][name][i]:.4f}" for way in WAYS) for name in targets
        ]
        spent = " / ".join(f"{found['seconds'][way][i]:.1f}" for way in WAYS[:2])
        lines.append(f"| {day} | {' | '.join(cells)} | {spent} |")
    for other in ("anew", "late"):
        cells = []
        for name in targets:
            gain = found["differences"][f"{name} daily - {other}"]
            half = "" if gain["half"] is None else f" ± {gain['half']:.4f}"
            cells.append(f"{gain['mean']:+.4f}{half}")
        total = " / ".join(f"{sum(found['seconds'][way]):.0f}" for way in WAYS[:2])
        lines.append(f"| daily less {other} | {' | '.join(cells)} | {total} |")
    order = " / ".join(WAYS)
    return "\n".join([*lines, f"\nRanking metrics on the day after, {order}."])


def draw(found: Entry) -> Markup:
    """Draw a panel a target, a line a way, over the days."""
    days = [float(i) for i in range(2, len(found["days"]) + 2)]
    wide, high = 420, 270
    panels = []
    for place, name in enumerate(found["ranks"]["daily"]):
        lines = [Line(way, days, found["ranks"][way][name], i) for i, way in enumerate(WAYS)]
        title = f"{name.replace('_', ' ')}, on the day after"
        chart = line_chart(lines, title=title, x_label="last day trained on", y_label=title)
        spot = f'<svg x="{place % 2 * wide}" y="{place // 2 * high}" width="{wide}" '
        panels.append(Markup(str(chart).replace("<svg ", f'{spot}height="{high}" ', 1)))  # noqa: S704
    size = 2 * wide, high * -(-len(panels) // 2)
    style = element("style", Markup(STYLE))
    return element(
        "svg", style, *panels, xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {size[0]} {size[1]}", width=size[0], role="img",
    )  # fmt: skip


if __name__ == "__main__":
    main()
