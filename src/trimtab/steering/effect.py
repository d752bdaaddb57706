"""What a formula's order does to every target, against another formula's, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.evaluate import finite
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.formulas import Formula
from trimtab.steering.orders import Orders
from trimtab.steering.resampling import Metric, resample

_PROBABILITY = {"auc": "utility", "gauc": "gauc", "ndcg": "ndcg"}
_QUANTITY = {"utility": "utility", "utility_within_user": "utility_within_user", "ndcg": "ndcg"}
"""Metric to the one of ``Orders`` that it is: the AUC is the utility of labels 0 and 1."""

_FUSED = ""  # A name that no target has.
Measured = dict[str, dict[str, list[Metric]]]
"""Target to metric to its value under each of the formulas."""


def effect(
    candidates: Candidates,
    formula: Formula,
    against: Formula | None = None,
    *,
    k: int = 10,
    intervals: bool = True,
) -> dict[str, Any]:
    """Return what a formula's order does to every target and to the fused gain, as JSON.

    ``{"rows", "lists", "k", "formula", "against", "targets", "fused", "scenes"}``. A target of 0
    and 1 has ``auc``, ``gauc`` and ``ndcg``, a quantity ``utility``, ``utility_within_user``,
    ``xauc`` and ``ndcg``: each ``{"value", "interval"}``, and beside another formula ``"against"``,
    its value, ``"difference"`` and ``"difference_interval"``. ``fused`` measures by the formula's
    own weights, applied to what happened; it is None for a formula that is no sum of targets.

    Parameters
    ----------
    k
        Places of a list that NDCG looks at.
    intervals
        Without them, and without XAUC, the answer takes milliseconds.
    """
    return Effects(candidates, k=k).of(formula, against, intervals=intervals)


class Effects:
    """Rows with known outcomes, ready to compare any number of formulas on."""

    def __init__(self, candidates: Candidates, *, k: int = 10) -> None:
        self._candidates, self._k = candidates, k
        known = {name: label for name, label in candidates.labels.items() if _any(label)}
        binary = {n: bool(np.isin(y[~np.isnan(y)], (0, 1)).all()) for n, y in known.items()}
        self._whole = _Rows(candidates, np.ones(len(candidates), dtype=bool), binary, k)
        several = candidates.scenes if len(candidates.scenes) > 1 else ()
        rows = {scene: candidates.scene == i for i, scene in enumerate(several)}
        self._scenes = {
            scene: _Rows(candidates, here, binary, k) for scene, here in rows.items() if here.any()
        }

    def of(
        self, formula: Formula, against: Formula | None = None, *, intervals: bool = True
    ) -> dict[str, Any]:
        """Return the effect of a formula, as ``effect`` does."""
        both = [formula, against] if against is not None else [formula]
        scores = [one.score(self._candidates) for one in both]
        gain = formula.gain(self._candidates)
        scenes = {
            name: rows.measured(scores, gain, intervals) for name, rows in self._scenes.items()
        }
        return finite(
            {
                "k": self._k,
                "formula": formula.model_dump(mode="json"),
                "against": None if against is None else against.model_dump(mode="json"),
                **self._whole.measured(scores, gain, intervals),
                "scenes": scenes,
            }
        )


class _Rows:
    """The rows of a scene, or all."""

    def __init__(
        self, candidates: Candidates, rows: NDArray[np.bool_], binary: dict[str, bool], k: int
    ) -> None:
        self.rows = rows
        labels = {name: candidates.labels[name][rows] for name in binary}
        self.known = {name: int((~np.isnan(y)).sum()) for name, y in labels.items() if _any(y)}
        self.binary = {name: binary[name] for name in self.known}
        self.censored = {n: candidates.censored[n][rows] for n in candidates.censored}
        stacked = [labels[name] for name in self.known]
        gains = np.reshape(stacked, (len(self.known), int(rows.sum())))
        self.orders = Orders(gains, candidates.group[rows], k=k)

    def measured(self, scores: Sequence[Floats], gain: Floats | None, full: bool) -> dict[str, Any]:
        """Return the metrics of every target and of the fused gain under each score."""
        scores = [score[self.rows] for score in scores]
        orders = self.orders
        if gain is not None and _any(gain[self.rows]):
            orders = orders.with_gain(gain[self.rows])
        found = self._metrics(orders, scores, full)
        shown = _shown(found, orders.users if full else None)
        return {
            "rows": int(self.rows.sum()),
            "lists": orders.lists,
            "targets": {name: {"rows": self.known[name]} | shown[name] for name in self.known},
            "fused": shown.get(_FUSED),
        }

    def _metrics(self, orders: Orders, scores: Sequence[Floats], full: bool) -> Measured:
        found = {}
        every = list(zip(*(orders.of(score, resampled=full) for score in scores), strict=True))
        for name, metrics in zip([*self.binary, _FUSED], every, strict=False):
            names = _PROBABILITY if self.binary.get(name) else _QUANTITY
            found[name] = {to: [one[of] for one in metrics] for to, of in names.items()}
        for i, (name, binary) in enumerate(self.binary.items()):
            if full and not binary:
                cut = self.censored.get(name)
                found[name]["xauc"] = [orders.xauc(score, i, cut) for score in scores]
        return found


def _shown(found: Measured, users: UserBootstrap | None) -> dict[str, dict[str, Any]]:
    """Return values, and where there are users intervals from the same resamples for all."""
    every = [one for metrics in found.values() for pair in metrics.values() for one in pair]
    draws = iter(resample(every, users) if users else [])
    shown: dict[str, dict[str, Any]] = {}
    for target, metrics in found.items():
        shown[target] = {}
        for name, pair in metrics.items():
            values = [one.value for one in pair]
            resampled = [next(draws) for _ in pair] if users else []
            shown[target][name] = _entry(values, resampled, users)
    return shown


def _entry(
    values: Sequence[float], draws: Sequence[Floats], users: UserBootstrap | None
) -> dict[str, Any]:
    entry: dict[str, Any] = {"value": values[0]}
    if users:
        entry["interval"] = list(users.interval(draws[0]))
    if len(values) > 1:
        entry |= {"against": values[1], "difference": values[0] - values[1]}
        if users:
            entry["difference_interval"] = list(users.interval(draws[0] - draws[1]))
    return entry


def _any(label: Floats) -> bool:
    return bool((~np.isnan(label)).any())
