"""Encoded rows as flat columns, and batches gathered from them by one index."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trimtab.batch import Batch, Ids

Spans = Sequence[tuple[int, int]]
"""Rows from one number up to another, of a log."""
Matrices = Sequence[NDArray[np.generic]]
Take = Callable[[Matrices, NDArray[np.int64], int], list[Tensor]]
"""Copies rows by their numbers from several matrices, with so many threads."""


def take_by_numpy(matrices: Matrices, index: NDArray[np.int64], threads: int) -> list[Tensor]:
    """Copy rows by NumPy, which has one thread."""
    return [torch.from_numpy(np.take(matrix, index, axis=0)) for matrix in matrices]


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of the columns of each array, in order."""

    ids: tuple[str, ...]
    numbers: tuple[str, ...]
    lists: tuple[str, ...]
    labels: tuple[str, ...]
    weights: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Rows of a log, encoded; the arrays may be memory-mapped.

    Attributes
    ----------
    arrays
        ``ids`` int32 [rows, ids], ``numbers`` float32 [rows, numbers], ``labels`` float32
        [rows, labels] with NaN for "not observed", ``weights`` float32 [rows, weights], ``scene``
        int64 [rows], ``user`` int64 [rows] (a number a user), and for list feature ``i``
        ``values.i`` int32 [total] with ``offsets.i`` int64 [rows + 1].
    """

    names: Names
    arrays: Mapping[str, NDArray[np.generic]]

    def __len__(self) -> int:
        return len(self.arrays["scene"])

    def batch(
        self, index: NDArray[np.int64], take: Take = take_by_numpy, threads: int = 1
    ) -> Batch:
        """Gather the rows of ``index``, in its order."""
        matrices = [self.arrays[n] for n in ("ids", "numbers", "labels", "weights", "scene")]
        ids, numbers, labels, weights, scene = take(matrices, index, threads)
        return Batch(
            ids=ids,
            lists={name: self._lists(i, index) for i, name in enumerate(self.names.lists)},
            numbers=numbers,
            scene=scene,
            labels={name: labels[:, i] for i, name in enumerate(self.names.labels)},
            weights={name: weights[:, i] for i, name in enumerate(self.names.weights)},
        )

    def _lists(self, feature: int, index: NDArray[np.int64]) -> Ids:
        offsets = self.arrays[f"offsets.{feature}"]
        starts = np.take(offsets, index)
        lengths = np.take(offsets, index + 1) - starts
        ends = np.cumsum(lengths)
        places = np.repeat(starts - (ends - lengths), lengths) + np.arange(
            ends[-1] if len(ends) else 0
        )
        return Ids(
            values=torch.from_numpy(np.take(self.arrays[f"values.{feature}"], places)),
            lengths=torch.from_numpy(lengths),
        )

    def part(self, start: int, stop: int) -> "Columns":
        """Return the rows from ``start`` up to ``stop``; nothing is copied."""
        lists = {f"offsets.{i}": stop + 1 for i in range(len(self.names.lists))}
        whole = {f"values.{i}" for i in range(len(self.names.lists))}
        return Columns(
            names=self.names,
            arrays={
                name: array if name in whole else array[start : lists.get(name, stop)]
                for name, array in self.arrays.items()
            },
        )

    def parts(self, rows: int) -> Iterator["Columns"]:
        """Yield all rows, so many at a time; nothing is copied."""
        for start in range(0, len(self), rows):
            yield self.part(start, min(start + rows, len(self)))

    def held(self, spans: Spans) -> "Columns":
        """Read spans of rows into memory, one after another; all rows are given as they are."""
        if list(spans) == [(0, len(self))]:
            return self
        arrays = {}
        for name, array in self.arrays.items():
            if not name.startswith(("offsets.", "values.")):
                arrays[name] = np.concatenate([array[start:stop] for start, stop in spans])
        for i in range(len(self.names.lists)):
            offsets, values = self.arrays[f"offsets.{i}"], self.arrays[f"values.{i}"]
            ends = [(offsets[start], offsets[stop]) for start, stop in spans]
            lengths = [np.diff(offsets[start : stop + 1]) for start, stop in spans]
            arrays[f"values.{i}"] = np.concatenate([values[start:stop] for start, stop in ends])
            arrays[f"offsets.{i}"] = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
        return Columns(names=self.names, arrays=arrays)

    def spread(self, rows: int) -> "Columns":
        """Return what is known of so many rows but their ids, evenly spread, or of all of them."""
        index = np.arange(rows) * len(self) // rows
        kept = ("labels", "weights", "numbers", "scene", "user")
        return Columns(
            names=replace(self.names, ids=(), lists=()),
            arrays={
                n: self.arrays[n] if rows >= len(self) else self.arrays[n][index] for n in kept
            },
        )

    @cached_property
    def fingerprint(self) -> str:
        """A checksum of every array: the same rows in the same order give the same one."""
        value = 0
        for name in sorted(self.arrays):
            value = zlib.crc32(np.ascontiguousarray(self.arrays[name]).data, value)
        return f"{len(self)} rows, {value:08x}"

    def label(self, name: str) -> NDArray[np.float32]:
        """Return one label of every row."""
        labels = np.asarray(self.arrays["labels"], dtype=np.float32)
        return labels[:, self.names.labels.index(name)]
