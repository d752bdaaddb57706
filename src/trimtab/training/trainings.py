"""What a person sees while several models train one after another."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.evaluation.seesaw import CHOSEN_HERE, ONE_SEED, meaning, no_advice, sentence
from trimtab.training.front import best_by, value_of
from trimtab.training.progress import Progress
from trimtab.training.state import State


class Trainings(Progress):
    """A bar for the training under way, and a line for each that is done.

    Parameters
    ----------
    show
        Whether anything is shown at all.
    """

    def __init__(self, *, show: bool = True) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not show)
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (show and sys.stderr.isatty()),
        )
        self.task = self.bar.add_task("", total=None, best="")
        self.what, self.number, self.count, self.line = "", 0, 0, ""
        self.target: str | None = None

    def __enter__(self) -> "Trainings":
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        self.bar.stop()

    def expect(self, count: int) -> None:
        """Say how many trainings there will be."""
        self.number, self.count = 0, count

    def next(self, what: str, target: str | None = None) -> None:
        """Say which training comes, and the one target that it is for, if it is for one."""
        self.what, self.number, self.target = what, self.number + 1, target
        self.bar.update(self.task, total=None, completed=0, best="")

    def kept(self) -> None:
        """Say that the training was done before."""
        self.console.print(f"{self._which()}  trained before")

    def stage(self, doing: str) -> None:
        """Say what begins."""
        self.bar.update(self.task, description=f"{self._which()} {doing}".strip())
        self.bar.start()

    def note(self, text: str) -> None:
        """Show nothing: ``kept`` says what was trained before."""

    def start(self, settings: RunSettings, prepared: Prepared, state: State) -> None:
        """Say how much there is to do."""
        total = len(prepared.train) * settings.training.epochs
        done = min(state.step * settings.training.batch_rows, total)
        self.stage("training")
        self.bar.update(self.task, total=total, completed=done)

    def advance(self, state: State, rows: int) -> None:
        """Move the bar."""
        self.bar.update(self.task, advance=rows)

    def evaluated(self, state: State) -> None:
        """Show the best score so far, and keep what the training's line says."""
        best = self._best(state)
        self.bar.update(self.task, best=f"best {best:.4f}")
        epochs = state.curves[-1]["epoch"]
        self.line = f"{best:.4f}  {epochs:.2f} epochs  {state.seconds:.0f} s"

    def _best(self, state: State) -> float:
        """Return the best of the one target, whatever else it needs learnt; else of the mean."""
        if self.target is None:
            return state.best
        return value_of(best_by(state.curves, self.target)["metrics"][self.target])

    def finished(self, folder: Path, metrics: Mapping[str, Any], served: str) -> None:
        """Print the training's line."""
        self.console.print(f"{self._which()}  {self.line}")

    def examined(self, findings: list[dict[str, str]]) -> None:
        """Show nothing: the data are those of the run that is asked about."""

    def _which(self) -> str:
        return f"{self.number}/{self.count} {self.what}" if self.what else ""


def print_seesaw(found: Mapping[str, Any]) -> None:
    """Print every target's difference, the verdict, what may be why and what to try next."""
    console = Console(highlight=False)
    console.print(seesaw_table(found["targets"]))
    for name, scene in found["scenes"].items():
        console.print(f"\nscene {name}, {scene['rows']:,} rows: {scene['verdict']}", markup=False)
        console.print(seesaw_table(scene["targets"]))
    console.print(f"\n[bold]{found['verdict']}[/]: {meaning(found)}")
    console.print(sentence(found["targets"]), markup=False)
    if found["seeds"] == 1:
        console.print(ONE_SEED, markup=False)
    if found["data"] is None:
        console.print(CHOSEN_HERE, markup=False)
    for one in found["advice"]:
        console.print(f"\n{one['target']} is worse: {one['because']}.", markup=False)
        console.print(f"  try  {one['setting']}", markup=False)
    if not found["advice"]:
        console.print(no_advice(found))


def seesaw_table(targets: Mapping[str, Any]) -> Table:
    """Return each target's metric single and shared, and the difference, in 80 columns."""
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("target", overflow="fold", max_width=16)
    for heading in ("single", "shared", "difference", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("significant")
    for name, one in targets.items():
        low, high = one["interval"]
        table.add_row(
            f"{name} ({one['metric']})",
            _number(one["single"]),
            _number(one["shared"]),
            _signed(one["difference"]),
            f"{_signed(low)} to {_signed(high)}",
            _significant(one),
            style={1: "green", -1: "red"}.get(one["direction"], ""),
        )
    return table


def _significant(one: Mapping[str, Any]) -> str:
    p = one["p_holm"]
    if p is None:
        return "unknown"
    word = {1: "up", -1: "down"}.get(one["direction"], "no")
    return f"{word}, p < .001" if p < 0.001 else f"{word}, p {p:.3f}".replace(" 0.", " .")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
