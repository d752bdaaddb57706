"""What must hold of the training rows before anything is trained on them."""

from collections.abc import Iterable, Iterator

import numpy as np

from trimtab.config.schema import RunSettings
from trimtab.data.labels import LabelColumn
from trimtab.data.prepare import Prepared
from trimtab.errors import DataError

ROWS = 1 << 20
"""Rows that are looked at at once."""


def require_learnable(settings: RunSettings, prepared: Prepared, known: Iterable[str] = ()) -> None:
    """Refuse targets that nothing can be learnt of, and weights that are all 0.

    Parameters
    ----------
    known
        Targets that were learnt before: one day more may well be without a single like.

    Raises
    ------
    DataError
        With one line a problem, all problems at once.
    """
    problems = [*_labels(settings, prepared, set(known)), *_weights(prepared)]
    if problems:
        raise DataError("\n".join(dict.fromkeys(problems)))


def _labels(settings: RunSettings, prepared: Prepared, known: set[str]) -> Iterator[str]:
    """Look at each target's labels in the rows of its scenes."""
    rows, scenes = prepared.train, prepared.statistics.scenes
    for name, target in settings.targets.items():
        if name in known:
            continue
        inside = [i for i, s in enumerate(scenes.names) if s in settings.scenes_of(name)]
        for label, column in target.labels(name, settings.targets).items():
            count, ends, everywhere = 0, set[float](), True
            for part in rows.parts(ROWS):
                here = np.isin(part.arrays["scene"], inside) | scenes.staged
                seen = part.label(label)[here]
                seen = seen[~np.isnan(seen)]
                count += len(seen)
                ends |= {float(seen.min()), float(seen.max())} if len(seen) else set()
                everywhere &= bool(here.all())
            which = "" if everywhere else " of its scenes"
            yield from _problems(column, count, ends, which, target.given)


def _problems(
    column: LabelColumn, rows: int, ends: set[float], which: str, given: str | None
) -> Iterator[str]:
    if not rows:
        yield f"{column.where}: no training row{which} has a label in {column.column!r}."
    elif column.rule == "zero_one" and len(ends) == 1:
        (value,) = ends
        never = column.positive is not None and value == 0
        hint = f"; none of them holds the positive value, {column.positive!r}" if never else ""
        hint += f"; where {given!r} did not happen it counts as 0" if given and not value else ""
        yield (
            f"{column.where}: column {column.column!r} is {value:g} in all {rows:,} "
            f"training rows{which} that have a label{hint}. There is nothing to tell apart."
        )


def _weights(prepared: Prepared) -> Iterator[str]:
    rows = prepared.train
    for i, target in enumerate(rows.names.weights):
        if not rows.arrays["weights"][:, i].any():
            where = f"targets.{target}.row_weight" if target else "data.row_weight"
            yield f"{where}: 0 in all {len(rows):,} training rows; there is nothing to learn."
