"""What a person sees while a run trains."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from trimtab.config.schema import RunSettings
from trimtab.config.terminal import print_severity
from trimtab.data.prepare import Prepared
from trimtab.evaluation.terminal import targets_table
from trimtab.training.state import State


class Progress(ABC):
    """Is told of every step of a run."""

    @abstractmethod
    def stage(self, doing: str) -> None:
        """Say that something long begins."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Say what the user may not expect."""

    @abstractmethod
    def start(self, settings: RunSettings, prepared: Prepared, state: State) -> None:
        """Say that training begins, or goes on."""

    @abstractmethod
    def advance(self, state: State, rows: int) -> None:
        """Count one update; the state may be a few further already."""

    @abstractmethod
    def evaluated(self, state: State) -> None:
        """Show an evaluation that is done and saved."""

    @abstractmethod
    def finished(self, folder: Path, metrics: Mapping[str, Any], served: str) -> None:
        """Show what the complete run left."""

    @abstractmethod
    def examined(self, findings: list[dict[str, str]]) -> None:
        """Show what the data doctor found."""


class Silent(Progress):
    """Shows nothing."""

    def stage(self, doing: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def start(self, settings: RunSettings, prepared: Prepared, state: State) -> None:
        """Show nothing."""

    def advance(self, state: State, rows: int) -> None:
        """Show nothing."""

    def evaluated(self, state: State) -> None:
        """Show nothing."""

    def finished(self, folder: Path, metrics: Mapping[str, Any], served: str) -> None:
        """Show nothing."""

    def examined(self, findings: list[dict[str, str]]) -> None:
        """Show nothing."""


class Terminal(Progress):
    """A bar with rows a second and time left, a line an evaluation, a table at the end."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        if not self.console.width:  # Then it would print nothing.
            self.console.width = 80
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self.task = self.bar.add_task("", total=None, speed="")

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back: while the bar moves, nothing else is shown on it."""
        self.bar.stop()

    def stage(self, doing: str) -> None:
        """Say what begins."""
        self.bar.update(self.task, description=doing)
        self.bar.start()

    def note(self, text: str) -> None:
        """Print it."""
        self._say(text)

    def start(self, settings: RunSettings, prepared: Prepared, state: State) -> None:
        """Say how much there is to do."""
        rows = prepared.summary["rows"]
        duplicates = prepared.summary["duplicates"]
        self._say(
            f"{rows['train']:,} rows to train on, {rows['valid']:,} held out; "
            f"{duplicates['found']:,} exact duplicates, {duplicates['dropped']:,} dropped"
        )
        if start := prepared.summary.get("start"):
            new = [f"{name} {count:,}" for name, count in start["new_ids"].items() if count]
            self._say(f"going on from {start['run']}; new ids: {', '.join(new) or 'none'}")
        total = rows["train"] * settings.training.epochs
        done = min(state.step * settings.training.batch_rows, total)
        self.bar.update(self.task, description="training", total=total, completed=done)

    def advance(self, state: State, rows: int) -> None:
        """Move the bar."""
        speed = self.bar.tasks[0].speed
        text = f"{speed:,.0f} rows/s" if speed else ""
        self.bar.update(self.task, advance=rows, speed=text)

    def evaluated(self, state: State) -> None:
        """Print one line."""
        entry = state.curves[-1]
        shown = "  ".join(f"{name} {value:.4f}" for name, value in entry["metrics"].items())
        mark = " *" if entry["best"] else ""
        score = "not known" if entry["score"] is None else f"{entry['score']:.4f}"
        self._say(f"epoch {entry['epoch']:5.2f}  {shown}  mean {score}{mark}")

    def finished(self, folder: Path, metrics: Mapping[str, Any], served: str) -> None:
        """Print the table of targets and name the files."""
        self.bar.stop()
        self._say(f"served: {served}")
        self.console.print(targets_table(metrics))
        files = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        self._say(f"{folder}: {', '.join(files)}")

    def examined(self, findings: list[dict[str, str]]) -> None:
        """Print the problems; the rest is in the report."""
        print_severity("problem", findings, Console(stderr=True, highlight=False))

    def _say(self, text: str) -> None:
        """Print text as wide as the terminal, or in 80 columns, no word apart."""
        width = self.console.width
        lines = fill(text, width, break_long_words=False, break_on_hyphens=False)
        self.console.print(lines, markup=False)
