"""What a search measures orders by, many weightings at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluation import metrics
from trimtab.steering.candidates import Candidates, Floats
from trimtab.steering.ndcg import Ndcg
from trimtab.steering.scan import Scan


class Yardstick(ABC):
    """A metric of every target: 1 at best.

    Attributes
    ----------
    worst
        What the metric is of an order that knows nothing, or at worst where that depends.
    """

    worst: float

    @abstractmethod
    def many(self, weights: Floats) -> Floats:
        """Measure weightings, ``[weightings, targets]``, in the predictions' units."""

    @abstractmethod
    def one(self, score: Floats) -> Floats:
        """Measure one order, ``[targets]``."""


class Utility(Yardstick):
    """The share of the labels' differences that is in order: AUC of probabilities."""

    worst = 0.5

    def __init__(self, candidates: Candidates, targets: Sequence[str]) -> None:
        self._labels = [candidates.labels[name] for name in targets]
        self._scan = Scan(candidates, targets)

    def many(self, weights: Floats) -> Floats:
        """Sort once a weighting."""
        return self._scan.many(weights).by_target

    def one(self, score: Floats) -> Floats:
        """Return ``metrics.utility`` of every target."""
        return np.array([metrics.utility(label, score) for label in self._labels])


class MeanNdcg(Yardstick):
    """The mean NDCG@k within lists."""

    worst = 0.0

    def __init__(self, candidates: Candidates, targets: Sequence[str], k: int) -> None:
        self._predictions = np.stack([candidates.prediction(name) for name in targets])
        labels = np.stack([candidates.labels[name] for name in targets])
        for name, label in zip(targets, labels, strict=True):
            if not (label > 0).any():
                raise InputError(f"{name!r} has no outcome above 0, so its NDCG is not defined.")
        self._ndcg = Ndcg(labels, candidates.group, k=k)

    def many(self, weights: Floats) -> Floats:
        """Sort once a weighting."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            found = list(pool.map(self._weighed, weights))
        return np.reshape(found, weights.shape)

    def _weighed(self, weight: Floats) -> Floats:
        return self.one(np.einsum("k,kn->n", weight, self._predictions))

    def one(self, score: Floats) -> Floats:
        """Return the mean of every target."""
        return self._ndcg.mean(score)


def yardstick(metric: str, candidates: Candidates, targets: Sequence[str]) -> Yardstick:
    """Return the metric of a name: ``utility``, or ``ndcg@k`` for a number k.

    Raises
    ------
    InputError
        For any other name.
    """
    places = places_of(metric)
    return MeanNdcg(candidates, targets, places) if places else Utility(candidates, targets)


def places_of(metric: str) -> int | None:
    """Return the places that a metric looks at, None for ``utility``, which looks at all rows.

    Raises
    ------
    InputError
        When there is no metric of this name.
    """
    name, _, places = metric.partition("@")
    if name == "ndcg" and places.isdecimal() and int(places) > 0:
        return int(places)
    if metric != "utility":
        raise InputError(
            f"no metric {metric!r} to search by; expected 'utility' (over all rows, for every "
            "target; the AUC of a binary one) or 'ndcg@10' (the first 10 places of every user, "
            "for targets with outcomes above 0)."
        )
    return None
