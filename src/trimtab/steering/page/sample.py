"""Rows that the page carries: a sample of whole lists, packed as text, and lists to look at."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.steering.candidates import Candidates, Floats

Rows = NDArray[np.int64]

UNKNOWN = 255
"""Stands for a missing label among labels of 0 and 1, which take a byte each."""

_FEWEST, _MOST = 8, 40
"""Rows of a list to look at."""


@dataclass(frozen=True)
class Sample:
    """Some candidates, list by list, rounded as the page rounds them.

    Attributes
    ----------
    rows
        Where each row stood among all candidates.
    starts
        First row of each list; last, the number of rows.
    """

    candidates: Candidates
    rows: Rows
    starts: Rows

    @classmethod
    def of(cls, candidates: Candidates, names: Iterable[str], most: int, seed: int = 0) -> "Sample":
        """Draw whole lists, by seed, up to ``most`` rows; some rows where every list is longer.

        Parameters
        ----------
        names
            Targets; rows without a label of any of them are left out.
        """
        labels = np.stack([candidates.labels[name] for name in names])
        known = np.flatnonzero(~np.isnan(labels).all(0))
        random = np.random.default_rng(seed)
        code, sizes = np.unique(candidates.group[known], return_inverse=True, return_counts=True)[
            1:
        ]
        drawn = random.permutation(len(sizes))
        drawn = drawn[sizes[drawn] <= most]
        lists = drawn[np.cumsum(sizes[drawn]) <= most]
        rows = known[np.isin(code, lists)] if lists.size else random.choice(known, most, False)
        rows = rows[np.lexsort((rows, candidates.group[rows]))]
        group = candidates.group[rows]
        starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
        return cls(_rounded(candidates, rows), rows, np.append(starts, len(rows)))

    def packed(self, predicted: Iterable[str], measured: Iterable[str]) -> dict[str, Any]:
        """Return the sample as JSON: arrays are base64 of little-endian numbers."""
        candidates = self.candidates
        return {
            "rows": len(self.rows),
            "lists": len(self.starts) - 1,
            "starts": _text(self.starts.astype("<i4")),
            "scene": _text(candidates.scene.astype("<u2")),
            "predictions": {n: _text(candidates.predictions[n].astype("<f4")) for n in predicted},
            "labels": {name: _label(candidates.labels[name]) for name in measured},
        }

    def lists(self, names: Sequence[str], count: int, items: Sequence[str] | None) -> list[Any]:
        """Return lists in which as many behaviours as possible happened, some rows of each.

        Each holds ``size``, its rows in all, and rows as ``[row of the sample, what it is]``.
        """
        sizes = np.diff(self.starts)
        told = np.zeros(len(sizes))
        for name in names:
            label = np.nan_to_num(self.candidates.labels[name])
            if is_binary(self.candidates.labels[name]):
                told += np.maximum.reduceat(label, self.starts[:-1]) > 0
        fits = np.flatnonzero(sizes >= min(_FEWEST, sizes.max()))
        order = fits[np.lexsort((fits, sizes[fits] > _MOST, -told[fits]))]
        # Of those that tell most, not always the first users of the log.
        best = order[told[order] == told[order[0]]]
        drawn = np.random.default_rng(0).permutation(best) if len(best) > count else order
        found = []
        for which in np.sort(drawn[:count]):
            first = int(self.starts[which])
            shown = range(first, first + min(int(sizes[which]), _MOST))
            rows = [[row, self._named(row, items)] for row in shown]
            found.append({"size": int(sizes[which]), "rows": rows})
        return found

    def _named(self, row: int, items: Sequence[str] | None) -> str:
        place = int(self.rows[row])
        return f"row {place:,}" if items is None else str(items[place])


def is_binary(label: Floats) -> bool:
    """Whether all that is known of a label is 0 or 1."""
    return bool(np.isin(label[~np.isnan(label)], (0, 1)).all())


def _rounded(candidates: Candidates, rows: Rows) -> Candidates:
    def kept(column: Floats) -> Floats:
        return column[rows].astype(np.float32).astype(np.float64)

    return Candidates(
        predictions={name: kept(column) for name, column in candidates.predictions.items()},
        labels={name: kept(column) for name, column in candidates.labels.items()},
        units=candidates.units,
        group=candidates.group[rows],
        scene=candidates.scene[rows],
        scenes=candidates.scenes,
    )


def _label(label: Floats) -> dict[str, str]:
    if is_binary(label):
        return {"bytes": _text(np.where(np.isnan(label), UNKNOWN, label).astype(np.uint8))}
    return {"floats": _text(label.astype("<f4"))}


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
