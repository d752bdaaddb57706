"""``trimtab train --from RUN``: a run that goes on from another one, on later rows.

Vocabularies grow at their ends, so that every known id keeps its table row, its weights and its
step size; scales, buckets, scenes and what targets learnt of their labels stay what they were.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Base, DataPlan, Prepared
from trimtab.data.seen import Seen
from trimtab.data.statistics import Statistics
from trimtab.errors import InputError, RunError, TrimtabError
from trimtab.training import checkpoint
from trimtab.training.folder import (
    ANOTHER,
    DAMAGE,
    LAST,
    MODEL,
    START,
    TABLES,
    go_on,
    make,
    refuse_other_settings,
    saved_settings,
    start,
    write,
)
from trimtab.training.seen import warn_before_training
from trimtab.training.state import State
from trimtab.training.takeover import Layout, take_over, unlike


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run goes on from.

    Attributes
    ----------
    run
        Folder of the earlier run; it is only read.
    settings
        The earlier run's.
    base
        What the earlier run learnt of its rows.
    """

    run: Path
    settings: RunSettings
    base: Base

    @classmethod
    def of(cls, run: Path, settings: RunSettings) -> "Start":
        """Read a finished run, to go on from it with ``settings``.

        Raises
        ------
        InputError
            When the folder holds no finished run, its files are damaged, or it differs from
            ``settings`` in what cannot be taken over.
        """
        saved = saved_settings(run)
        for name in (MODEL, LAST):
            if not (run / name).exists():
                raise InputError(
                    f"{run}: has no {name}; to go on from a run, let it finish first (with "
                    "`trimtab train ... --resume`) and keep its files."
                )
        found = unlike(saved, settings)
        if found:
            raise InputError(
                "\n  ".join([f"{run}: its parts do not fit this run file:", *found])
                + "\nKeep these as they were, or train anew on all rows; a target under another "
                "name starts anew."
            )
        try:
            statistics = Statistics.load(run, saved.features)
        except DAMAGE:
            raise InputError(f"{run}: damaged, or changed after training; train it anew.") from None
        base = Base(key=_key(run), statistics=replace(statistics, settings=settings.features))
        return cls(run=run, settings=saved, base=base)

    def take_over(self, state: State, settings: RunSettings) -> None:
        """Set the weights, and the optimisers' and the balancer's state, to the earlier run's.

        Weights are those that the earlier run serves; the optimisers' state is that of its end.

        Raises
        ------
        InputError
            When the earlier run is damaged, or its parts have other shapes.
        """
        try:
            tensors, facts = checkpoint.load(self.run / MODEL)
            tensors = {f"model.{name}": tensor for name, tensor in tensors.items()}
            tensors |= checkpoint.load(self.run / LAST, ("optimizer.", "balancer."))[0]
            layout = Layout(tables=facts["tables"], blocks=facts["blocks"])
            take_over(state, tensors, layout, balancing=self._balances_like(settings))
        except (RunError, ValueError) as error:
            raise InputError(f"{self.run}: cannot go on from it: {error}") from None
        except DAMAGE:
            raise InputError(
                f"{self.run}: damaged, or trained by an earlier version; train it anew."
            ) from None

    def _balances_like(self, settings: RunSettings) -> bool:
        """Say whether what the earlier balancer learnt is of use to this run's."""
        weights = [
            {name: target.weight for name, target in run.targets.items()}
            for run in (self.settings, settings)
        ]
        same = list(weights[0].items()) == list(weights[1].items())
        return same and self.settings.balancing == settings.balancing

    def seen(self) -> Seen | None:
        """Return the sample of the rows that the earlier run was trained on."""
        try:
            return Seen.restore(checkpoint.load(self.run / MODEL, ())[1].get("seen"))
        except DAMAGE:
            raise InputError(f"{self.run / MODEL}: damaged; train the run anew.") from None

    def keep(
        self,
        folder: Path,
        state: State,
        settings: RunSettings,
        grown: Statistics,
        seen: Seen | None,
    ) -> None:
        """Write down what the run in ``folder`` starts from.

        Where its tables are renewed, they go back to where they started: that is kept too.
        """
        before = self.base.statistics.tables
        new = {name: rows - before[name] for name, rows in grown.tables.items()}
        facts: dict[str, Any] = {"run": str(self.run.resolve()), "key": self.base.key}
        facts |= {"new_ids": new, "seen": seen and seen.state()}
        write(folder / START, json.dumps(facts, indent=1))
        if settings.training.renew_tables:
            checkpoint.save(folder / TABLES, state.tables(), {})


def source_of(named: Path | None, folder: Path | None, settings: RunSettings) -> Start | None:
    """Return what a run goes on from: what is named, else what the run in ``folder`` started from.

    The latter only where that run was killed before its first checkpoint: it then starts again,
    as if the same run were named.

    Raises
    ------
    InputError
        When it is not there any more, or changed since, or does not fit ``settings``.
    RunError
        When what ``folder`` says of it is damaged.
    """
    if named is not None:
        return Start.of(named, settings)
    kept = None if folder is None or (folder / LAST).exists() else started(folder)
    if kept is None:
        return None
    try:
        source = Start.of(Path(kept["run"]), settings)
        if source.base.key != kept["key"]:
            raise InputError(f"{kept['run']}: was trained anew since, on other rows.")
    except TrimtabError as error:
        raise InputError(
            f"{folder}: has no checkpoint yet, so it has to start from {kept['run']} again, and "
            f"cannot:\n  {error}\nName the run to go on from with --from (start=), "
            f"or choose {ANOTHER}."
        ) from None
    return source


def base_of(folder: Path | None, settings: RunSettings, source: Start | None) -> Base | None:
    """Return what a run adds to: what its start learnt, or what it has itself where it goes on.

    Raises
    ------
    InputError
        When the run in ``folder`` is to go on, but did not start from ``source``.
    RunError
        When it is damaged.
    """
    if folder is None or not (folder / LAST).exists():
        return None if source is None else source.base
    refuse_other_settings(folder, settings)
    kept = started(folder)
    if source is not None and (kept is None or kept["key"] != source.base.key):
        raise InputError(f"{folder}: holds a run that did not start from {source.run}.")
    if kept is None:
        return None
    return Base(key=kept["key"], statistics=_statistics(folder, settings), complete=True)


def begin(
    folder: Path,
    settings: RunSettings,
    prepared: Prepared,
    state: State,
    source: Start | None,
) -> None:
    """Go on from the folder's checkpoint; else make the folder, and start from ``source``."""
    if (folder / LAST).exists():
        go_on(folder, settings, prepared, state)
    else:
        make(folder)
        if source is not None:  # First, so that a killed run never looks like one without a start.
            source.take_over(state, settings)
            seen = source.seen()
            warn_before_training(seen, prepared, source.run)
            source.keep(folder, state, settings, prepared.statistics, seen)
        start(folder, settings, prepared.statistics)
    told = started(folder)
    if told is not None:
        prepared.summary["start"] = {name: told[name] for name in ("run", "key", "new_ids")}
        state.origin = folder / TABLES if settings.training.renew_tables else None


def plan_of(folder: Path, settings: RunSettings, statistics: Statistics) -> DataPlan:
    """Return what decides the encoded columns of a run that may have gone on from another."""
    kept = started(folder)
    base = None
    if kept is not None:
        base = Base(key=kept["key"], statistics=statistics, complete=True)
    return replace(settings.plan(), base=base)


def started(folder: Path) -> dict[str, Any] | None:
    """Return what the run in a folder went on from; None where it started anew."""
    try:
        facts = json.loads((folder / START).read_text(encoding="utf-8"))
        new = dict(facts["new_ids"])
        kept = {"run": str(facts["run"]), "key": facts["key"], "new_ids": new}
        return kept | {"seen": Seen.restore(facts.get("seen"))}
    except FileNotFoundError:
        return None
    except DAMAGE:
        raise RunError(f"{folder / START}: damaged; train the run anew.") from None


def seen_before(folder: Path) -> Seen | None:
    """Return the sample of the rows that were trained on before the run in a folder began."""
    facts = started(folder)
    return None if facts is None else facts["seen"]


def refuse_grown(folder: Path) -> None:
    """Refuse what would train again on the run's own rows, and compare the two."""
    facts = started(folder)
    if facts is not None:
        raise InputError(
            f"{folder}: went on from {facts['run']}, so models trained on its own rows alone have "
            "seen less; use a run that was trained on all rows at once."
        )


def _statistics(folder: Path, settings: RunSettings) -> Statistics:
    try:
        return Statistics.load(folder, settings.features)
    except DAMAGE:
        raise RunError(f"{folder}: damaged, or not of one run; choose {ANOTHER}.") from None


def _key(run: Path) -> str:
    """Return a checksum of what a run learnt of its rows."""
    digest = hashlib.sha256()
    for path in [run / "statistics.json", *sorted((run / "vocabularies").glob("*"))]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]
