"""Which columns to predict: asked for by name, or told by their names and values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trimtab.config.guess.column import Column
from trimtab.config.guess.line import Line, number, share
from trimtab.config.guess.names import is_behaviour, is_label, short, spends_money, spends_time
from trimtab.config.guess.target import MOST_VALUES, Guess, guess
from trimtab.errors import InputError, nearest

RARE = 0.03
"""Base rate under which a target's loss counts more: its few positives hardly move shared parts."""
_LEAST = 10
"""Positive rows below which a behaviour is not taken as a target unasked."""
_SURE = 0.99
"""Share of rows that makes a rule of what they have in common."""
_PRICES = 10
"""Distinct values up to which a column holds steps, or counts, and not what was paid."""


def asked(columns: Mapping[str, Column], wanted: Sequence[str]) -> list[Guess]:
    """Return the targets that the user names: ``column``, ``name=column``, ``column:positive``.

    Raises
    ------
    InputError
        With one line a problem: an unknown column or value, or a column that cannot be a target.
    """
    found: list[Guess] = []
    problems = []
    for text in wanted:
        try:
            name, column, positive = _parse(text, columns)
            found.append(guess(column, name, positive, [t.name for t in found]))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n  ".join(["--targets", *problems] if len(problems) > 1 else problems))
    return found


def _parse(text: str, columns: Mapping[str, Column]) -> tuple[str | None, Column, str | None]:
    """Tell name, column and positive value apart; a column may have signs in its own name."""
    for name, rest in [(None, text), *_cuts(text, "=")]:
        for title, positive in [(rest, None), *_cuts(rest, ":")]:
            column = _column(title, columns)
            if column is not None:
                return name and name.strip(), column, positive and positive.strip()
    title = text.split("=", 1)[-1].split(":", 1)[0].strip()
    raise InputError(f"targets: the log has no column {title!r}. {nearest(title, columns)}")


def _cuts(text: str, sign: str) -> list[tuple[str, str]]:
    """Return the two sides of every place where a sign stands."""
    return [(text[: m.start()], text[m.end() :]) for m in re.finditer(sign, text)]


def _column(title: str, columns: Mapping[str, Column]) -> Column | None:
    """Return the column of a name, but for case and blanks, or of its short form (``click``)."""
    if title in columns:
        return columns[title]
    plain = title.strip().casefold()
    for same in (
        [c for n, c in columns.items() if n.strip().casefold() == plain],
        [c for c in columns.values() if plain in (short(c.words), short(c.words, duration=True))],
    ):
        if len(same) == 1:
            return same[0]
    return None


def behaviours(
    columns: Mapping[str, Column], owners: Sequence[Column]
) -> tuple[list[Guess], dict[str, str]]:
    """Return the targets that names and values suggest, and why others are none.

    Parameters
    ----------
    owners
        Users and items: what hardly varies within one is a fact about it, unless its name is
        plainly a behaviour's. What is paid for an item may be its price, but not on every row.

    Raises
    ------
    InputError
        When there are none; the message lists columns that could be named.
    """
    found: list[Guess] = []
    left_out: dict[str, str] = {}
    for name, column in columns.items():
        paid = _is_paid(column)
        timed = spends_time(column.words) and column.numeric and not (column.zero_one or paid)
        if column.single or not (timed or paid or (column.zero_one and is_label(column.words))):
            continue
        plain = column.zero_one and is_behaviour(column.words)
        known = Column(column.values.fill_null(0)) if paid else column
        if not plain and any(known.follows(owner) for owner in owners):
            continue
        if timed and not _is_spent(column):
            continue
        target = guess(column, None, None, [t.name for t in found])
        part = target.happened / len(target.labels)
        if target.happened < _LEAST:
            left_out[name] = f"a behaviour, but only {target.happened} times: too few to learn"
        elif timed and part < 0.1:
            left_out[name] = (
                f"a behaviour, over 0 in {share(part)} of the rows only; --targets takes it"
            )
        else:
            found.append(target)
    if not found:
        raise InputError(
            "no column looks like a behaviour (0/1 such as is_click, or play_time_ms). Name the "
            f"columns to predict with --targets. Columns that could be: {_candidates(columns)}."
        )
    return found, left_out


def _is_spent(column: Column) -> bool:
    """Say whether numbers can be time that was spent: not instants, nowhere under 0."""
    return column.finite and column.ends[0] >= 0 and column.ends[1] < 3e8


def _is_paid(column: Column) -> bool:
    """Say whether numbers can be money that was spent: nowhere under 0, and seldom over it."""
    if not (spends_money(column.words) and column.numeric and column.finite):
        return False
    over = int((column.values > 0).sum()) / len(column.values)
    return column.ends[0] >= 0 and column.distinct > _PRICES and 0 < over < 0.5


def _candidates(columns: Mapping[str, Column]) -> str:
    """List the columns that could be targets, those with two values first."""
    fitting = [column for column in columns.values() if _could_be_target(column)]
    names = [c.name for c in sorted(fitting, key=lambda column: column.distinct > 2)]
    return (", ".join(names[:20]) + (", ..." if len(names) > 20 else "")) or "none"


def _could_be_target(column: Column) -> bool:
    if column.single or not (column.numeric or column.text or column.boolean):
        return False
    measured = column.numeric and not column.whole and column.finite
    return measured or column.boolean or column.distinct <= MOST_VALUES


def with_parents(targets: Sequence[Guess]) -> list[Guess]:
    """Say which targets can only happen where a more frequent one did."""
    linked = []
    for target in targets:
        parent = _parent(target, targets)
        if parent is not None:
            other, both = parent
            settings = target.settings | {"given": other.name}
            them = "them" if target.binary else "those over 0"
            note = f"{share(both)} of {them} are {other.name} too"
            target = replace(
                target, settings=settings, note="; ".join(filter(None, (target.note, note)))
            )
        linked.append(target)
    return linked


def _parent(child: Guess, targets: Sequence[Guess]) -> tuple[Guess, float] | None:
    """Return the rarest target that (nearly) always happens where the child does."""
    found = []
    for other in targets:
        rarer = not child.binary or child.happened * 1.05 < other.happened
        if other.binary and other.column != child.column and rarer and other.rate < 0.9:
            there = other.labels[(child.labels > 0) & ~np.isnan(other.labels)]
            if len(there) >= 30 and there.mean() > _SURE:
                found.append((other.happened, other, float(there.mean())))
    if not found or child.settings["kind"] == "number":
        return None
    _, parent, both = min(found, key=lambda entry: entry[0])
    return parent, both


def _meaning(target: Guess, targets: Sequence[Guess]) -> str:
    """Say what a missing amount counts as: it is easily taken for 0."""
    if target.settings["kind"] != "amount":
        return ""
    given = target.settings.get("given")
    happened = [parent.labels == 1 for parent in targets if parent.name == given]
    reached = happened[0] if happened else np.ones(len(target.labels), dtype=bool)
    meaning = [f"0 where {given} did not happen"] if given else []
    if np.isnan(target.labels[reached]).mean() > 1 - _SURE:
        where = "elsewhere " if given else ""
        meaning.append(f"{where}not known: the log has to say 0 where nothing was spent")
    return "".join(f", {part}" for part in meaning)


def lines(targets: Sequence[Guess]) -> list[Line]:
    """Return the keys of ``[targets]``."""
    written = []
    for target in targets:
        settings = dict(target.settings)
        notes = [target.note] if target.note else []
        if not target.binary:
            unit = settings.get("unit", "")
            notes.insert(0, f"mean {number(target.rate)} {unit}".strip())
        else:
            notes.insert(0, f"{share(target.rate)} of the rows")
            if target.rate < RARE and len(targets) > 1:
                settings["weight"] = 5.0
                notes.append("rare: its loss counts 5 times")
        unknown = float(np.isnan(target.labels).mean())
        if unknown:
            notes.append(f"{share(unknown)} missing{_meaning(target, targets)}")
        written.append(Line(name=target.name, value=settings, comment="; ".join(notes)))
    return written
