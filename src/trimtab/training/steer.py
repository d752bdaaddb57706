"""A run as steering sees it: its candidates, its formulas and its profiles."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from trimtab.data.join import join
from trimtab.data.prepare import table
from trimtab.data.strangers import Strangers
from trimtab.errors import DataError, InputError
from trimtab.evaluation.predict import predict
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Formula
from trimtab.steering.formulas.base import parse
from trimtab.steering.profiles import DEFAULT, FILE, Profiles, even
from trimtab.steering.steered import Steered
from trimtab.steering.weights import parse_weights

if TYPE_CHECKING:
    from trimtab.training.run import Run


class Steering:
    """A run, as steering sees it."""

    def __init__(self, run: "Run") -> None:
        self.run = run
        self.units = {n: getattr(target, "unit", "") for n, target in run.settings.targets.items()}
        self.scenes = () if run.model.staged else tuple(run.model.towers)

    def candidates(self, data: Any = None, *, labelled: bool = True) -> Candidates:
        """Return rows with calibrated predictions, and what happened unless told not to.

        All rows are one list where there is no column with the user. New rows without a user are
        one list too, as those of one visitor nobody knows; labelled ones, of a whole log, are each
        their own.
        """
        user = self.run.settings.data.user
        if labelled:
            found = Candidates.of(self.run.evaluation(data), self.units)
        else:
            rows = join(self.table(data), self.run.settings.data.join, self.run.settings.plan().ids)
            user = user if user in rows.columns else None
            columns = self.run.statistics.columns(rows, {}, {}, user)
            strangers = Strangers(self.run.statistics)
            strangers.add(rows, columns)
            strangers.warn()
            predictions = predict(self.run.model, columns, self.run.calibration)
            found = Candidates.predicted(
                self.run.model, columns, predictions, units=self.units, labels={}
            )
            found = replace(found, group=np.maximum(found.group, -1))
        return found if user else replace(found, group=np.zeros(len(found), dtype=np.int64))

    def table(self, data: Any) -> pl.DataFrame:
        """Return a frame, or the rows of a file, read as those that the run was trained on."""
        return table(self.run.settings.plan(), data, empty=True)

    def weights(self, text: str) -> Formula:
        """Return the formula of weights as text, such as ``click=1,play/min=2``."""
        return parse_weights(text, self.units, self.scenes)

    def formula(self, given: Any, where: str) -> Formula:
        """Return a formula from its JSON, or a formula as it is.

        Raises
        ------
        InputError
            With every problem.
        """
        formula = parse(given, where)
        try:
            formula.require(self.units, self.scenes)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        return formula

    def profile(self, name: str | None = None, rows: Candidates | None = None) -> Formula:
        """Return a profile, the current one by default.

        Until one is saved it is ``default``: every target counts about alike on the valid rows.

        Parameters
        ----------
        rows
            Take the default's means from these where the valid rows are not to be had.
        """
        profiles = Profiles.load(self.run.folder)
        name = name or profiles.current
        if name != DEFAULT or name in profiles.named:
            return self.formula(profiles[name].model_dump(), f"{FILE}: {name}")
        try:
            return even(self.candidates())
        except DataError:
            if rows is None:
                raise
            return even(rows)

    def steered(self, formula: Any, profile: str | None, weights: Mapping[str, Any]) -> Steered:
        """Return the run with a formula, given in one of three ways; else the current profile.

        Raises
        ------
        InputError
            When it is given in more than one way, or is wrong.
        """
        if sum((formula is not None, profile is not None, bool(weights))) > 1:
            raise InputError("steer: give a formula, or profile = a name, or weights by target.")
        if isinstance(formula, str):
            return Steered(self, self.weights(formula))
        if weights:
            formula = {"kind": "additive", "weights": dict(weights)}
        if formula is not None:
            return Steered(self, self.formula(formula, "steer"))
        return Steered(self, self.profile(profile))
