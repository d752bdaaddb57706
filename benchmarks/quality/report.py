"""The results file as Markdown: a table a metric, and one of what the trainings cost."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from .scores import CALIBRATED, Comparison, Difference
from .trials import Line, Results

HIGHER = {"auc": True, "xauc": True, "mae": False, "calibrated_mae": False}
SHOWN = {
    "auc": "AUC",
    "xauc": "XAUC",
    "mae": "MAE, s",
    "calibrated_mae": "MAE once moved to medians, s",
}
"""Metrics with a table; the log loss is in the results file too."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One metric of one target: its values by seed, and how far it is from the reference's."""

    values: list[float]
    seeds: Difference | None
    means: Difference | None

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def deviation(self) -> float:
        return stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of one system, at its best learning rate.

    Attributes
    ----------
    cells
        By target and metric.
    """

    system: str
    model: str
    lines: list[Line]
    cells: dict[tuple[str, str], Cell]

    @property
    def name(self) -> str:
        return f"{self.system}/{self.model}"


def read_report(results: Results, dataset: str, *, against: str) -> list[Row]:
    """Return a row a model, the reference first, then by system in the order they were trained."""
    found: dict[str, list[Line]] = {}
    for line in results.lines():
        if line["dataset"] == dataset:
            found.setdefault(f"{line['system']}/{line['model']}", []).append(line)
    if against not in found:
        known = f"it has {', '.join(found)}" if found else "it has nothing of this data set"
        print(f"{dataset}: {against} is not in the results; {known}.\n")
        return []
    last = found[against][-1]
    folder = results.path.parent
    facts = json.loads((folder / last["data"]).with_suffix(".json").read_text("utf-8"))
    comparison = Comparison(folder, last["data"], facts)
    reference = _chosen(found.pop(against))
    rows = [_row(reference, reference, comparison, facts)]
    for name, lines in found.items():
        if lines[-1]["rows"] == last["rows"]:
            rows.append(_row(_chosen(lines), reference, comparison, facts))
        else:
            print(f"{dataset}: {name} was trained on other rows than {against}: left out.\n")
    return rows


def _chosen(lines: Sequence[Line]) -> list[Line]:
    """Return the newest settings' trainings at the learning rate that was best on seed 0."""
    same = [line for line in lines if _setting(line) == _setting(lines[-1])]
    tuned = [line for line in same if line["seed"] == 0]
    best = max(tuned, key=lambda line: line["score"])
    chosen = [line for line in same if line["factor"] == best["factor"]]
    return sorted(chosen, key=lambda line: line["seed"])


def _setting(line: Line) -> str:
    parts = [line.get(part) for part in ("rows", "settings", "training")]
    return json.dumps(parts, sort_keys=True)


def _row(
    lines: list[Line], reference: list[Line], comparison: Comparison, facts: dict[str, Any]
) -> Row:
    cells = {}
    for target in facts["targets"]:
        name, unit = target["name"], dict.fromkeys(("mae", "calibrated_mae"), target["seconds"])
        known = lines[0]["metrics"].get(name, {})
        for metric in (m for m in SHOWN if CALIBRATED.get(m, m) in known):
            scale = unit.get(metric, 1.0)
            values = [scale * comparison.value(line, name, metric) for line in lines]
            ways = comparison.difference, comparison.of_means
            seeds, means = (
                None
                if lines is reference
                else Difference(*(scale * x for x in way(lines, reference, name, metric)))
                for way in ways
            )
            cells[name, metric] = Cell(values=values, seeds=seeds, means=means)
    return Row(system=lines[0]["system"], model=lines[0]["model"], lines=lines, cells=cells)


def print_report(dataset: str, rows: Sequence[Row]) -> None:
    seeds = sorted({len(row.lines) for row in rows})
    spelled = " to ".join(str(count) for count in dict.fromkeys((seeds[0], seeds[-1])))
    print(
        f"## {dataset}\n\n{spelled} seeds; reference {rows[0].name}. In brackets 95 % intervals: "
        "of the difference of the means over seeds, in resamples of users and of seeds, and of "
        "the difference of the seed-mean predictions, in resamples of users. * beyond chance.\n"
    )
    keys = dict.fromkeys(key for row in rows for key in row.cells)
    for target, metric in keys:
        print(f"### {target}: {SHOWN[metric]}\n")
        print("\n".join(_metric_table(rows, target, metric)) + "\n")
    print("### What a training costs\n")
    print("\n".join(_cost_table(rows)) + "\n")


def _metric_table(rows: Sequence[Row], target: str, metric: str) -> Iterator[str]:
    yield "| system | model | mean | sd | difference | of seed-mean predictions |"
    yield "|---|---|---|---|---|---|"
    having = [row for row in rows if (target, metric) in row.cells]
    sign = -1 if HIGHER[metric] else 1
    for row in sorted(having, key=lambda row: sign * row.cells[target, metric].mean):
        cell = row.cells[target, metric]
        numbers = f"{_number(cell.mean)} | {_number(cell.deviation)}"
        yield (
            f"| {row.system} | {row.model} | {numbers} | {_spelled(cell.seeds)} | "
            f"{_spelled(cell.means)} |"
        )


def _spelled(difference: Difference | None) -> str:
    if difference is None:
        return "reference"
    value, low, high = difference
    mark = " *" if low > 0 or high < 0 else ""
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f}){mark}"


def _number(value: float) -> str:
    return f"{value:.4f}".removeprefix("0") if abs(value) < 1 else f"{value:.4f}"


def _cost_table(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| system | model | version | learning rate | epochs, evaluations, patience | seeds | "
        "best epoch (trees: round) | seconds | processor seconds | threads | peak MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        costs = ("best_epoch", "seconds", "processor_seconds")
        best, seconds, processor = (mean(line[cost] for line in row.lines) for cost in costs)
        memory = max(line["peak_memory_bytes"] for line in row.lines) / 1e6
        first = row.lines[0]
        limits = ", ".join(str(limit) for limit in first.get("training", {}).values())
        yield (
            f"| {row.system} | {row.model} | {first['version']} | {first['learning_rate']:.2g} | "
            f"{limits} | {len(row.lines)} | {best:.2f} | {seconds:.0f} | {processor:.0f} | "
            f"{first['threads']} | {memory:,.0f} |"
        )
