"""The order in which training rows are visited, and batches gathered ahead of their use."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trimtab.batch import Batches
from trimtab.data.columns import Columns, Spans, Take, take_by_numpy

BLOCKS = 256
"""Blocks of consecutive rows that a buffer mixes."""
BUFFER = 1 / 4
"""Share of ``data.memory`` that a buffer takes."""
TOGETHER, PARTS = 1 << 15, 8
"""Most rows that are gathered at once, and the fewest parts that a buffer is gathered in; one batch
where that has more rows."""

Index = NDArray[np.int64]
Buffer = tuple[Spans, Sequence[Index]]
"""Rows that are held in memory together, and the batches made of them, counted within them."""
Gather = Callable[[Columns, Sequence[Index]], Batches]
"""Makes batches of rows that are held."""


class Order:
    """Each epoch visits all rows once, in an order drawn from the seed and the epoch alone.

    Parameters
    ----------
    buffer_rows
        Most rows that are mixed with each other. Where there are more, the log's blocks of
        consecutive rows are drawn in random order, a buffer of them after another, and each
        buffer's rows are drawn from it in random order. Without it all rows are one buffer.
    """

    def __init__(
        self, rows: int, batch_rows: int, seed: int, *, buffer_rows: int | None = None
    ) -> None:
        self.rows = rows
        self.batch_rows = batch_rows
        self.seed = seed
        whole = buffer_rows is None or rows <= buffer_rows
        self.buffer_steps = self.steps if whole else max((buffer_rows or 0) // batch_rows, 1)

    @property
    def steps(self) -> int:
        """Batches of an epoch; the last one may be smaller."""
        return -(-self.rows // self.batch_rows)

    def pause(self, step: int, evaluations: int) -> int:
        """Return the next step after which to evaluate: so many an epoch, the last at its end."""
        return -(-(step * evaluations // self.steps + 1) * self.steps // evaluations)

    def buffers(self, step: int, last: int) -> Iterator[Buffer]:
        """Return what is visited from ``step`` (counted from the start of training) to ``last``."""
        while step < last:
            epoch, first = divmod(step, self.steps)
            number, done = divmod(first, self.buffer_steps)
            begin = number * self.buffer_steps * self.batch_rows
            spans, order = self._buffer(epoch, number, begin)
            left = min(-(-len(order) // self.batch_rows) - done, last - step)
            starts = range(done * self.batch_rows, (done + left) * self.batch_rows, self.batch_rows)
            yield spans, [order[start : start + self.batch_rows] for start in starts]
            step += left

    def indices(self, step: int, last: int) -> Iterator[Index]:
        """Return the rows of each batch, counted in the log."""
        for spans, batches_of in self.buffers(step, last):
            rows = np.concatenate([np.arange(*span) for span in spans])
            yield from (rows[index] for index in batches_of)

    def _buffer(self, epoch: int, number: int, begin: int) -> tuple[Spans, Index]:
        """Return the spans of a buffer's rows, in the log's order, and the order within them."""
        if self.buffer_steps == self.steps:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            return [(0, self.rows)], order
        end = min(begin + self.buffer_steps * self.batch_rows, self.rows)
        chance = np.random.default_rng((self.seed, epoch, number))
        return self._spans(epoch, begin, end), chance.permutation(end - begin)

    def _spans(self, epoch: int, begin: int, end: int) -> Spans:
        """Return the rows from ``begin`` to ``end`` of the epoch's blocks laid end to end."""
        size = max(self.buffer_steps * self.batch_rows // BLOCKS, 1)
        firsts = np.arange(0, self.rows, size)
        drawn = np.random.default_rng((self.seed, epoch)).permutation(firsts)
        ends = np.cumsum(np.minimum(size, self.rows - drawn))
        spans = []
        for i in range(int(np.searchsorted(ends, begin, side="right")), len(drawn)):
            block, stop = int(drawn[i]), int(ends[i])
            start = stop - min(size, self.rows - block)
            if start >= end:
                break
            spans.append((block + max(begin - start, 0), block + min(end, stop) - start))
        return sorted(spans)


def room(columns: Columns, memory: int | None) -> int | None:
    """Return how many rows a buffer has room for; None where nothing bounds it."""
    if memory is None:
        return None
    size = sum(array.nbytes for array in columns.arrays.values())
    return max(int(memory * BUFFER * len(columns) / max(size, 1)), 1)


def a_core_is_free() -> bool:
    """Say whether a step leaves one of the cores alone that this process may use."""
    known = hasattr(os, "sched_getaffinity")  # Not on macOS.
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return torch.get_num_threads() < cores


def batches(
    columns: Columns, buffers: Iterator[Buffer], *, take: Take = take_by_numpy, pinned: bool = False
) -> Iterator[Batches]:
    """Gather batches, a few at once: the next ones (and their buffer) while the caller works.

    Where no core is free for that they are gathered in between, by all of the caller's threads:
    a plain step on every core lost more to a thread beside it than gathering takes. Small batches
    are gathered several at once: to wake the thread that gathers costs as much as to gather a batch
    of a thousand rows.

    Parameters
    ----------
    take
        What copies the rows.
    pinned
        Whether to put them where a GPU copies from while the processor goes on.
    """
    beside = pinned or a_core_is_free()
    threads = 1 if beside else torch.get_num_threads()

    def gather(held: Columns, some: Sequence[Index]) -> Batches:
        rows = held.batch(np.concatenate(some), take, threads)
        rows = rows.apply(Tensor.pin_memory) if pinned else rows
        return Batches(rows, [len(index) for index in some])

    return (_beside if beside else _in_between)(columns, buffers, gather)


def _beside(columns: Columns, buffers: Iterator[Buffer], gather: Gather) -> Iterator[Batches]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: Future[Batches] | None = None
        for spans, indices in buffers:
            held = thread.submit(columns.held, spans)
            for some in _together(indices):
                coming = thread.submit(lambda held, some: gather(held.result(), some), held, some)
                if waiting is not None:
                    yield waiting.result()
                waiting = coming
        if waiting is not None:
            yield waiting.result()


def _in_between(columns: Columns, buffers: Iterator[Buffer], gather: Gather) -> Iterator[Batches]:
    for spans, indices in buffers:
        held = columns.held(spans)
        for some in _together(indices):
            yield gather(held, some)
        del held  # Before the next one is read.


def _together(indices: Sequence[Index]) -> Iterator[Sequence[Index]]:
    most = min(TOGETHER, sum(map(len, indices)) // PARTS)
    at_once = max(most // max(map(len, indices), default=1), 1)
    for first in range(0, len(indices), at_once):
        yield indices[first : first + at_once]
