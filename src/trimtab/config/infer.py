"""From a log that nobody described to a run file that trains: what ``trimtab init`` writes."""

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from trimtab.config.guess import targets as guessed
from trimtab.config.guess.column import Column, columns_of
from trimtab.config.guess.features import choose
from trimtab.config.guess.keys import Keys, find_keys, held_out
from trimtab.config.guess.left_out import Context
from trimtab.config.guess.line import Found, Line, share
from trimtab.config.guess.names import SCENES
from trimtab.config.guess.target import identifier, is_legal
from trimtab.config.guess.text import run_file
from trimtab.config.load import parse
from trimtab.data.read import read
from trimtab.data.settings import ScenesSettings
from trimtab.errors import InputError


def infer(log: str, targets: Sequence[str] | None = None, relative_to: Path | None = None) -> str:
    """Return the text of a run file for a log, commented, that trains as it is.

    Parameters
    ----------
    log
        File, glob or folder.
    targets
        Columns to predict: ``column``, ``name=column`` or ``column:positive_value``; when left
        out, the columns that look like behaviours.
    relative_to
        Folder of the run file, which the log's path in it is relative to; the current one when
        left out.

    Raises
    ------
    InputError
        When the log cannot be read, a target is no column, or nothing is left to predict or to
        predict it from.
    """
    return as_text(look(log, targets), relative_to)


def look(log: str, targets: Sequence[str] | None = None) -> Found:
    """Return what is guessed of a log."""
    frame = read(log)
    columns = columns_of(frame)
    asked = guessed.asked(columns, targets) if targets else []
    others = {n: c for n, c in columns.items() if n not in {target.column for target in asked}}
    keys = find_keys(others)
    left_out: dict[str, str] = {}
    if not targets:
        owners = [columns[name] for name in (keys.user, keys.item) if name]
        asked, left_out = guessed.behaviours(others, owners)
    asked = guessed.with_parents(asked)
    features, left_out = choose(Context(columns=columns, keys=keys, targets=asked), left_out)
    if not features:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"{log}: no column is left to predict from.{reasons}")
    return Found(
        log=log,
        rows=len(frame),
        columns=len(columns),
        sampled=len(next(iter(columns.values())).sample),
        data=_data(frame, columns, keys),
        targets=guessed.lines(asked),
        features=features,
        training=_training(len(frame)),
        left_out=left_out,
        scenes=_scenes([columns[line.name] for line in features]),
    )


def as_text(found: Found, relative_to: Path | None = None) -> str:
    """Return the run file's text, which its own loader has read."""
    folder = (relative_to or Path()).resolve()
    text = run_file(found, os.path.relpath(Path(found.log).expanduser().resolve(), folder))
    parse(tomllib.loads(text), where="the inferred run file", folder=folder)
    return text


def _data(frame: pl.DataFrame, columns: Mapping[str, Column], keys: Keys) -> list[Line]:
    lines = []
    if keys.time is not None:
        comment = "orders the rows; times without a zone are UTC"
        lines.append(Line(name="time", value=keys.time, comment=comment))
    if keys.user is not None:
        users = columns[keys.user].values.n_unique()
        comment = f"{users:,} of them; metrics are within a user too"
        lines.append(Line(name="user", value=keys.user, comment=comment))
    lines.append(held_out(keys, columns))
    copies = len(frame) - frame.n_unique()
    if copies:
        drop = copies < 0.2 * len(frame) or keys.time is not None
        comment = f"{copies:,} exact copies of rows ({share(copies / len(frame))})"
        comment += "" if drop else ": too many to be mistakes"
        lines.append(Line(name="duplicates", value="drop" if drop else "keep", comment=comment))
    return lines


def _training(rows: int) -> list[Line]:
    """Return smaller batches for a small log, so that an epoch has about fifty updates."""
    if rows >= 75_000:
        return []
    size = 2 ** max(5, math.floor(math.log2(rows / 50)))
    return [Line(name="batch_rows", value=size, comment="about fifty updates an epoch")]


def _scenes(columns: Sequence[Column]) -> tuple[str, list[Line]] | None:
    """Return a suggestion of scenes: the most common values of a column that names a place."""
    for column in columns:
        fitting = (column.whole or column.text) and 2 <= column.distinct <= 50
        if not (fitting and set(column.words) & SCENES):
            continue
        total = sum(rows for _, rows in column.counts)
        common = [(v, rows) for v, rows in column.counts if rows >= 0.02 * total][:6]
        lines: list[Line] = []
        for value, rows in common:
            name = _scene_name(column, str(value), [line.name for line in lines])
            known = int(value) if column.whole else value
            comment = f"{share(rows / total)} of the rows"
            lines.append(Line(name=name, value=[known], comment=comment))
        if len(lines) > 1:
            return column.name, lines
    return None


def _scene_name(column: Column, value: str, taken: Sequence[str]) -> str:
    """Return a name for a scene: its value's, where that is one and free."""
    brief = identifier(value).lower()
    names = [brief, *(f"{identifier(column.words[-1])}_{part}" for part in (brief, *range(100)))]
    return next(n for n in names if is_legal(n) and n not in {*taken, *ScenesSettings.model_fields})
