"""A log that need not fit in memory: prepared chunk by chunk, straight onto the disk.

It is gone over four times: for copies, for the last time, to learn, and to encode. What comes out
is what ``trimtab.data.prepare`` makes of the whole log in memory, bit for bit; but where there are
more than ``SAMPLE`` training rows, scales of numbers are learnt from so many of them.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data import cache
from trimtab.data.clock import Clock, HeldOut, Times, held_out
from trimtab.data.columns import Columns
from trimtab.data.counts import Counts, Groups, Sample, alone
from trimtab.data.log import Log
from trimtab.data.plan import DataPlan
from trimtab.data.read import require
from trimtab.data.scenes import Scenes
from trimtab.data.split import require_rows
from trimtab.data.statistics import Statistics, raw_column
from trimtab.data.summary import missing_rows, summary
from trimtab.errors import DataError, RowError


@dataclass(kw_only=True)
class Part:
    """The training or the valid rows, as they are found; encoded they go to ``place``."""

    place: Path
    groups: Groups = field(default_factory=Groups)
    rows: int = 0
    encoded: int = 0
    first: int = 2**63 - 1
    last: int = -(2**63)

    def note(self, piece: "Piece", user: str | None) -> None:
        """Note what must be known of all rows before the first is encoded."""
        self.rows += len(piece.rows)
        if piece.times is not None:
            self.first = min(self.first, int(piece.times.min()))
            self.last = max(self.last, int(piece.times.max()))
        if user is not None:
            self.groups.add(require(piece.rows, user, "data.user"))

    def users(self, rows: pl.DataFrame, user: str | None) -> NDArray[np.int64]:
        """Return the number of each row's user; a row without one is its own."""
        first, self.encoded = self.encoded, self.encoded + len(rows)
        if user is None:
            return np.arange(first, self.encoded, dtype=np.int64)
        return alone(self.groups.encode(rows[user]), first)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The rows of a chunk that are of one part, their numbers in the log and their times."""

    part: Part
    rows: pl.DataFrame
    numbers: NDArray[np.int64]
    times: Times | None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A log and where its rows go: those held out to ``parts[True]``, the others to the other."""

    log: Log
    clock: Clock | None
    held_out: HeldOut
    parts: Mapping[bool, Part]

    def chunks(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield each chunk with the number of its first row."""
        first = 0
        for frame in self.log.chunks():
            yield first, frame
            first += len(frame)

    def cut(self, first: int, frame: pl.DataFrame) -> Iterator[Piece]:
        """Yield a chunk's rows by part."""
        out = self.held_out(first, frame)
        times = self.clock.of(frame) if self.clock else None
        for valid, part in self.parts.items():
            here = out == valid
            if here.any():
                yield Piece(
                    part=part,
                    rows=frame if here.all() else frame.filter(here),
                    numbers=first + np.flatnonzero(here),
                    times=None if times is None else times[here],
                )


class _Learner:
    """What is kept of training rows until features learn from it."""

    def __init__(self, plan: DataPlan) -> None:
        self.plan = plan
        self.counts: dict[str, Counts] = {}
        self.sample = Sample()
        self.missing = dict.fromkeys(plan.features, 0)
        self.scenes = Scenes.named(plan.scenes)
        self.scene_rows = np.zeros(len(self.scenes.names), dtype=np.int64)

    def add(self, piece: Piece) -> None:
        """Learn from the next training rows."""
        kept = {}
        for name, feature in self.plan.features.items():
            column = raw_column(piece.rows, name, feature)
            self.missing[name] += missing_rows(column)
            counted = feature.counted(column)
            if counted is not None:
                self.counts.setdefault(name, Counts()).add(counted)
            shown = counted is None and feature.shares is None
            kept[name] = column if shown else column.clear(len(column))
        self.sample.add(pl.DataFrame(kept), piece.numbers)
        self.scene_rows += self.scenes.rows(piece.rows)

    def learn(self) -> Statistics:
        """Return what was learnt."""
        columns = self.sample.rows().to_dict()
        for name, column in columns.items():
            if self.missing[name] and not missing_rows(column):  # No drawn row says so.
                columns[name] = column.extend_constant(None, 1)
        return Statistics.of(
            self.plan.features,
            Scenes.settled(self.plan.scenes, self.scene_rows),
            columns,
            {n: self.plan.features[n].settled(c.table()) for n, c in self.counts.items()},
        )


def prepare_chunks(
    plan: DataPlan, folder: Path, *, chunk_rows: int | None = None
) -> dict[str, Any]:
    """Encode the plan's log into ``folder``, learn its statistics there; return the summary.

    Parameters
    ----------
    chunk_rows
        Rows of a chunk, in place of as many as ``data.memory`` has room for.

    Raises
    ------
    DataError
        When the log, a side table or a label is not as the plan says.
    OSError
        When the disk is full.
    """
    data, work = plan.data, folder / "work"
    if data.log is None:
        raise DataError("data.log: no log is named and no frame was given.")
    train, valid = Part(place=folder / "train"), Part(place=folder / "valid")
    sources = _sources(plan, (train, valid), work, chunk_rows)
    log, clock = sources[0].log, sources[0].clock
    learner = _learn(plan, sources)
    require_rows(data, train.rows, valid.rows, of=log.rows)
    if plan.waits and clock:
        plan.require_known((clock.last - float(train.first)) / 1e6)
    statistics = plan.learnt(learner.learn)
    statistics.save(folder)
    with ExitStack() as stack:
        grown = [stack.enter_context(cache.Growing(part.place)) for part in (train, valid)]
        for piece, columns in _encoded(plan, statistics, sources):
            grown[piece.part is valid].add(columns)
    shutil.rmtree(work)
    return {
        "log": data.log,
        "duplicates": log.duplicates,
        **summary(
            plan,
            statistics,
            [cache.read(part.place) for part in (train, valid)],
            spans=[(part.first, part.last) for part in (train, valid)] if data.time else None,
            missing=learner.missing,
        ),
    }


def _sources(
    plan: DataPlan, parts: tuple[Part, Part], work: Path, chunk_rows: int | None
) -> list[Source]:
    """Return the log, and the file of the valid rows where there is one."""
    data, (train, valid) = plan.data, parts
    sources: list[Source] = []
    for name in (data.log, data.valid_file):
        if name is None:
            continue
        log = Log(name, data, work / str(len(sources)), chunk_rows, plan.ids)
        plan.check(log.empty)
        for column, where in plan.columns_of_rows():
            require(log.empty, column, where)
        log.keep(plan.columns())
        times = partial(log.chunks, [data.time] if data.time else None)
        clock = Clock(data, times()) if data.time else None
        sources.append(
            Source(
                log=log,
                clock=clock,
                held_out=held_out(data, times, log.rows, clock),
                parts={False: valid} if sources else {False: train, True: valid},
            )
        )
    return sources


def _learn(plan: DataPlan, sources: list[Source]) -> _Learner:
    """Go over the rows once: refuse what is wrong, and learn from the training rows."""
    learner, train = _Learner(plan), sources[0].parts[False]
    for source in sources:
        for first, frame in source.chunks():
            _checked(plan, first, frame)
            for piece in source.cut(first, frame):
                piece.part.note(piece, plan.data.user)
                if piece.part is train:
                    learner.add(piece)
    return learner


def _checked(plan: DataPlan, first: int, frame: pl.DataFrame) -> None:
    """Raise ``DataError`` for what a chunk cannot hold, by its row in the log."""
    try:
        plan.check(frame)
    except RowError as error:
        raise error.within(first, len(frame)) from None


def _encoded(
    plan: DataPlan, statistics: Statistics, sources: list[Source]
) -> Iterator[tuple[Piece, Columns]]:
    """Go over the rows once more and encode them."""
    user = plan.data.user
    for source in sources:
        for first, frame in source.chunks():
            for piece in source.cut(first, frame):
                age = None
                if plan.waits and source.clock and piece.times is not None:
                    age = (source.clock.last - piece.times.astype(np.float64)) / 1e6
                columns = statistics.columns(piece.rows, plan.labels, plan.weights, None, age)
                users = {"user": piece.part.users(piece.rows, user)}
                yield piece, Columns(names=columns.names, arrays={**columns.arrays, **users})
