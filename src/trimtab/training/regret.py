"""What steering loses against retraining for each weighting: trained, measured, never assumed.

Nothing is measured on rows that a model trained, stopped or was tuned on. The run's training rows,
in the order of the log, are cut once more: each model first trains on the earlier part and stops
by the later one, which is as long as the valid rows, and half of the training rows at most; it then
trains from its start on all of them for as many epochs, each target's own parts too, without
looking, and is measured on the valid rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.columns import Columns
from trimtab.data.prepare import Prepared
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.training.build import build_state
from trimtab.training.finish import finish
from trimtab.training.in_memory import train_in_memory
from trimtab.training.loop import renew, updates
from trimtab.training.order import Order, room
from trimtab.training.peaks import put
from trimtab.training.state import State

Floats = NDArray[np.float64]
ONE = "retrained"
"""Name of the blend that a retrained model has as its only target."""


@dataclass(frozen=True)
class Weighting:
    """What matters, in shares, and the weights that give each target its share.

    ``weights[k] = shares[k] / mean label of k`` on the training rows, so that the shares are what
    each target adds to the mean gain.
    """

    shares: Mapping[str, float]
    weights: Mapping[str, float]


def draw(means: Mapping[str, float], count: int, seed: int) -> list[Weighting]:
    """Draw weightings: shares from Dirichlet(.5), so that many lie near the corners."""
    drawn = np.random.default_rng(seed).dirichlet([0.5] * len(means), count)
    found = []
    for row in np.maximum(drawn, 1e-6):
        shares = dict(zip(means, row.tolist(), strict=True))
        found.append(Weighting(shares, {name: shares[name] / means[name] for name in means}))
    return found


def mean_labels(rows: Columns, targets: Sequence[str]) -> dict[str, float]:
    """Return each target's mean label over the rows where it is known."""
    return {name: float(np.nanmean(rows.label(name), dtype=np.float64)) for name in targets}


def blended(
    settings: RunSettings, weighting: Weighting, negatives: str, highest: Mapping[str, float]
) -> RunSettings:
    """Return the run with one blend for its targets: what a team retrains for each weighting.

    Parameters
    ----------
    highest
        Target to its highest label, for the caps of quantities: none is cut.
    """
    of: dict[str, Any] = {}
    for name, weight in weighting.weights.items():
        part: dict[str, Any] = {"weight": weight}
        label = settings.targets[name].labels(name, settings.targets)[name]
        if label.rule != "zero_one":
            part |= {"per": 1.0, "cap": max(highest[name], 1.0)}
        of[name] = part
    blend = {"kind": "blend", "of": of, "negatives": negatives}
    content = settings.model_dump(mode="json") | {"targets": {ONE: blend}}
    return parse(content)


def reweighted(settings: RunSettings, weighting: Weighting) -> RunSettings:
    """Return the run with its target weights multiplied by the shares, 1 on average."""
    count = len(weighting.shares)
    targets = {
        name: target.model_copy(
            update={"weight": target.weight * count * weighting.shares.get(name, 0.0)}
        )
        for name, target in settings.targets.items()
    }
    return settings.model_copy(update={"targets": targets})


@dataclass(frozen=True, kw_only=True)
class Stop:
    """When a training is best, in epochs, which rows of another number have too.

    Attributes
    ----------
    epochs
        For what targets share.
    own
        Target to when its own parts are best, where that is at another time.
    earlier
        Ends of the passes that are served beside it.
    score
        What was reached there, to choose between settings by.
    """

    epochs: float
    own: Mapping[str, float] = field(default_factory=dict)
    earlier: Sequence[float] = ()
    score: float = float("nan")


class Trainer:
    """Trains models of one log, each stopped on rows before those that it is measured on."""

    def __init__(self, prepared: Prepared) -> None:
        rows = len(prepared.train)
        cut = max(rows - len(prepared.valid), (rows + 1) // 2)
        self.prepared = prepared
        self.inner = replace(
            prepared,
            train=prepared.train.part(0, cut),
            valid=prepared.train.part(cut, rows),
        )

    def stop(self, settings: RunSettings, rename: Mapping[str, str]) -> Stop:
        """Return when the later part of the training rows is ordered best."""
        prepared = _renamed(self.inner, rename)
        served = train_in_memory(build_state(settings, prepared), settings, prepared)
        steps = Order(len(prepared.train), settings.training.batch_rows, 0).steps
        return Stop(
            epochs=served.step / steps,
            own={name: step / steps for name, step in served.own.items()},
            earlier=[step / steps for step in served.earlier],
            score=served.score,
        )

    def scores(
        self, settings: RunSettings, stop: Stop, rename: Mapping[str, str]
    ) -> dict[str, NDArray[np.float32]]:
        """Train on all training rows up to the stop; return predictions of the valid rows."""
        prepared = _renamed(self.prepared, rename)
        state = build_state(settings, prepared)
        fit(state, prepared.train, settings, stop)
        finish(state.model, prepared.train, settings.training.seed)
        return Evaluation(state.model, prepared.valid).predictions


def fit(state: State, rows: Columns, settings: RunSettings, stop: Stop) -> None:
    """Train without looking at any other rows; leave the weights to serve in the model."""
    training = settings.training
    buffer_rows = room(rows, settings.data.memory)
    order = Order(len(rows), training.batch_rows, training.seed, buffer_rows=buffer_rows)

    def step_of(epochs: float) -> int:
        return max(1, round(epochs * order.steps))

    shared, own = step_of(stop.epochs), {name: step_of(at) for name, at in stop.own.items()}
    earlier = [step_of(at) for at in stop.earlier]
    wanted, kept = {shared, *own.values(), *earlier}, {}
    for batches in state.batches(rows, order.buffers(0, max(wanted))):
        renew(state, order, training)
        while batches:
            pause = min(step for step in wanted if step > state.step)
            now, batches = batches.cut(pause - state.step)
            for _ in updates(state, now, training):
                pass
            if state.step in wanted:
                with state.averaged():
                    kept[state.step] = {n: t.clone() for n, t in state.model.state_dict().items()}
    put(state.model, shared, own, kept.__getitem__, earlier)


def _renamed(prepared: Prepared, rename: Mapping[str, str]) -> Prepared:
    """Return the same rows with labels under the names that a blend reads them by."""

    def renamed(rows: Columns) -> Columns:
        labels = tuple(rename.get(name, name) for name in rows.names.labels)
        return replace(rows, names=replace(rows.names, labels=labels))

    return replace(prepared, train=renamed(prepared.train), valid=renamed(prepared.valid))


def names_in_blend(targets: Sequence[str]) -> dict[str, str]:
    """Return target to the name of its label in a blend that stands alone."""
    return {name: f"{ONE}.{name}" for name in targets}


@dataclass(frozen=True)
class Regret:
    """C of retrained models minus C of the steered one, mean over seeds.

    Attributes
    ----------
    interval
        Of the mean, over resamples of the users: below 0 where steering is better.
    noise
        Standard deviation over seeds of the retrained models' C: what one training is worth.
    """

    steered: float
    retrained: float
    regret: float
    interval: tuple[float, float]
    noise: float


def regret(
    gain: Floats, steered: Sequence[Floats], retrained: Sequence[Floats], users: NDArray[np.int64]
) -> Regret:
    """Compare scores of the same rows, an entry a seed; rows of unknown gain are left out."""
    known = ~np.isnan(gain)
    gain, bootstrap = gain[known], UserBootstrap(users[known])
    parts, values = [], []
    for scores in (steered, retrained):
        found = [bootstrap.of_utility(gain, s[known]) for s in scores]
        parts.append(np.mean([one.resampled() for one in found], axis=0))
        values.append([one.value() for one in found])
    first, second = (float(np.mean(value)) for value in values)
    return Regret(
        steered=first,
        retrained=second,
        regret=second - first,
        interval=bootstrap.interval(parts[1] - parts[0]),
        noise=float(np.std(values[1], ddof=1)) if len(values[1]) > 1 else float("nan"),
    )


def fused(values: Mapping[str, NDArray[Any]], weighting: Weighting) -> Floats:
    """Return ``sum_k w_k v_k``: of predictions the steered score, of labels the gain."""
    parts = [weight * values[name].astype(np.float64) for name, weight in weighting.weights.items()]
    return np.asarray(np.sum(parts, axis=0))
