"""Results as JSON lines: written, and gone on from where the settings are the same."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Entry = dict[str, Any]

T_OF_VALUES = {
    2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26
}  # fmt: skip
"""Number of values to the 97.5 % quantile of Student's t with one degree of freedom less."""


class ResultsFile:
    """The lines of one benchmark that were measured with the same settings.

    Lines of other settings may stand in the same file; they are neither shown nor gone on from.

    Parameters
    ----------
    path
        None for no file: nothing is gone on from, and nothing is written.
    settings
        What changes the numbers; written into every line.
    """

    def __init__(self, path: Path | None, settings: Entry) -> None:
        self.path, self.settings = path, settings

    def done(self) -> list[Entry]:
        """Return the lines that have these settings."""
        if self.path is None or not self.path.exists():
            return []
        lines = map(json.loads, self.path.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line.items() >= self.settings.items()]

    def add(self, entry: Entry) -> Entry:
        """Write a line; return the entry with the settings."""
        line = self.settings | entry
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return line


def half_width(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of a mean, by Student's t; NaN for one value."""
    if len(values) < 2:
        return float("nan")
    return float(T_OF_VALUES[len(values)] * np.std(values, ddof=1) / len(values) ** 0.5)
