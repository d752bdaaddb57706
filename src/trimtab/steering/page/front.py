"""What many other weightings would do on the page's sample: the dots of its chart."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trimtab.steering.candidates import Floats
from trimtab.steering.page.sample import Sample
from trimtab.steering.page.terms import EVERYWHERE, Terms
from trimtab.steering.scan import Scan


@dataclass(frozen=True)
class Tried:
    """Weightings and what each does.

    Attributes
    ----------
    terms
        Index of the page's terms that the columns of ``weights`` are for.
    """

    terms: list[int]
    weights: Floats  # [weightings, terms]
    metrics: Floats  # [weightings, targets]

    def axes(self) -> list[int]:
        """Return the two targets that pull apart the most: the lowest correlation of metrics."""
        varied = np.flatnonzero(np.nan_to_num(self.metrics.std(0)) > 0)
        if len(varied) < 2:
            return [0, min(1, self.metrics.shape[1] - 1)]
        angles = np.corrcoef(self.metrics[:, varied].T)
        first, second = np.unravel_index(np.argmin(angles), angles.shape)
        return sorted([int(varied[first]), int(varied[second])])

    def json(self) -> dict[str, Any]:
        """Return what the page holds of it."""
        metrics = [[None if np.isnan(m) else round(m, 6) for m in row] for row in self.metrics]
        weights = self.weights.tolist()
        return {"terms": self.terms, "weights": weights, "metrics": metrics, "axes": self.axes()}


def tried(sample: Sample, terms: Terms, now: list[dict[str, Any]], *, count: int) -> Tried:
    """Score ``count`` weightings, drawn by seed, over the terms that ``now`` has a weight for.

    Each target alone first; then shares from Dirichlet(0.4), near the corners and edges as often
    as inside. A share is one of the score's spread, so that no unit decides which dots there are;
    what counts against in ``now`` does so in all.
    """
    held = [i for i, one in enumerate(now) if one["weight"] is not None]
    columns = np.stack([_column(sample, terms, now, i) for i in held])
    spread = np.nan_to_num(columns.std(1))
    sign = np.array([-1.0 if now[i]["weight"] < 0 else 1.0 for i in held])
    random = np.random.default_rng(0)
    shares = np.concatenate([np.eye(len(held)), random.dirichlet([0.4] * len(held), count)])[:count]
    weights = shares * sign / np.where(spread > 0, spread, 1)
    weights = np.array([[float(f"{w:.4g}") for w in row] for row in weights])
    return Tried(held, weights, _measure(sample, terms, held, columns, weights))


def _column(sample: Sample, terms: Terms, now: list[dict[str, Any]], which: int) -> Floats:
    """Return what a term adds to each row's score, a unit of its weight."""
    candidates, term = sample.candidates, terms.terms[which]
    own = [t.scene for t, n in zip(terms.terms, now, strict=True)
           if t.key == term.key and t.scene and n["weight"] is not None]  # fmt: skip
    places = {name: i for i, name in enumerate(candidates.scenes)}
    here = candidates.scene == places.get(term.scene, -1)
    elsewhere = ~np.isin(candidates.scene, [places[scene] for scene in own])
    known = {name: candidates.prediction(name) for name in candidates.predictions}
    values = terms.worth(term.key, known, now[which]["cap"])
    return np.where(elsewhere if term.scene == EVERYWHERE else here, values, 0.0)


def _measure(
    sample: Sample, terms: Terms, held: list[int], columns: Floats, weights: Floats
) -> Floats:
    """Return every target's utility, its own AUC where it is binary, for each weighting."""
    plain = {terms.terms[i].key: row for row, i in enumerate(held) if not terms.terms[i].scene}
    names = {row: f"term {row}" for row in range(len(held))}
    names |= {plain[target]: target for target in terms.targets}
    named = list(names.values())
    labels = {name: np.zeros(columns.shape[1]) for name in named}  # Of a product: not measured.
    labels |= {name: sample.candidates.labels[name] for name in terms.targets}
    predictions = dict(zip(named, columns, strict=True))
    scan = Scan(replace(sample.candidates, predictions=predictions, labels=labels), named)
    return scan.many(weights).by_target[:, [plain[target] for target in terms.targets]]
