"""Every target's own parts from the evaluation that was best for it.

Targets do not peak together: a rare one has learnt its few positives by heart while a frequent one
still learns. One evaluation has to be chosen for what all share. What a single target reads (its
own tables and first-order weights, its own path, its heads) can come from its own peak: no other
target notices, except those behind it in a funnel. Whether that is better is measured, not assumed.

Where tables start anew with every epoch, own parts are never taken from another evaluation: they
would read shared parts of another pass, which is better by chance alone. Measured on rows that
nothing was chosen by, it costs a target .002 of its AUC (``docs/log.md``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trimtab.config.training import TrainingSettings
from trimtab.features.tables import spans
from trimtab.model import RankingModel
from trimtab.training.front import best_by, choose, mean, value_of
from trimtab.training.passes import groups, join
from trimtab.training.state import TABLE

Read = Callable[[int], Mapping[str, Tensor]]
"""Returns the weights of an evaluation on the front, given its step."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where the weights that are served are from.

    Attributes
    ----------
    step
        Evaluation that the shared parts are from.
    own
        Target to the evaluation that its own parts are from, where that is another one.
    earlier
        Ends of earlier passes whose logits are averaged with those of ``step``.
    metrics
        Each target's ranking metric on the valid rows.
    """

    step: int
    own: Mapping[str, int]
    metrics: Mapping[str, float | None]
    earlier: Sequence[int] = ()

    @property
    def score(self) -> float:
        """The mean of the metrics that are known."""
        return mean(self.metrics) or 0.0

    def told(self, curves: Sequence[Mapping[str, Any]]) -> str:
        """Say in a few words which epochs the weights are from."""
        epochs = {entry["step"]: f"{entry['epoch']:.2f}" for entry in curves}
        own = [
            f"the own parts of {name} from epoch {epochs[step]}" for name, step in self.own.items()
        ]
        shared = f"epoch {epochs[self.step]}"
        if self.earlier:
            others = ", ".join(epochs[step] for step in self.earlier)
            shared = f"the mean of epochs {others} and {epochs[self.step]}"
        return ", ".join([f"{'shared parts from ' * bool(own)}{shared}", *own])


def own_columns(model: RankingModel, target: str) -> list[slice]:
    """Return the columns of the tables that only one target reads."""
    places = spans(model.features.tables.blocks)
    return [places[b] for b in (f"own/{target}", f"first/{target}") if b in places]


def own_weights(model: RankingModel, target: str) -> list[str]:
    """Return the tensors outside the tables that only one target reads."""
    return [
        name
        for name in model.state_dict()
        if name.startswith((f"own.{target}.", f"targets.{target}."))
        or (name.startswith("towers.") and f".heads.{target}." in name)
    ]


def put(
    model: RankingModel,
    step: int,
    own: Mapping[str, int],
    read: Read,
    earlier: Sequence[int] = (),
) -> None:
    """Put an evaluation's weights into the model, with some targets' own parts from others.

    Parameters
    ----------
    earlier
        Ends of passes to serve beside it.
    """
    del model.earlier[:]
    model.load_state_dict(read(step))
    here, tables = model.state_dict(), model.features.tables
    for at in dict.fromkeys(own.values()):  # Each read once, however many targets peak there.
        weights = read(at)
        for target in (name for name, step in own.items() if step == at):
            for name in own_weights(model, target):
                here[name].copy_(weights[name])
            for columns in own_columns(model, target):
                tables.write(slice(None), columns, weights[TABLE][:, columns])
    join(model, earlier, read)


def serve(
    model: RankingModel,
    curves: Sequence[Mapping[str, Any]],
    settings: TrainingSettings,
    *,
    read: Read,
    evaluate: Callable[[], dict[str, float]],
) -> Served:
    """Choose the weights to serve, and leave them in the model.

    Tried as the shared part are the evaluation that the rule chooses and every target's best one;
    with each, the other targets' own parts are taken from their peaks where that makes the target
    better. Where passes are served together, each end of a pass is tried with those before it. The
    rule then chooses between all of these.

    Parameters
    ----------
    evaluate
        Returns each target's ranking metric of the model on the valid rows.
    """
    rule = settings.choose
    targets = curves[0]["metrics"] if settings.own_peaks and not settings.renew_tables else ()
    peaks = {target: best_by(curves, target)["step"] for target in targets}
    by_step = {entry["step"]: entry for entry in curves}
    tried = [
        _with_peaks(model, by_step[step], peaks, read=read, evaluate=evaluate)
        for step in dict.fromkeys([choose(curves, rule)["step"], *peaks.values()])
    ]
    for step, earlier in groups(curves, settings.passes).items():
        put(model, step, {}, read, earlier)
        tried.append(Served(step=step, own={}, metrics=evaluate(), earlier=earlier))
    entries = [{"score": one.score, "metrics": one.metrics, "served": one} for one in tried]
    served: Served = choose(entries, rule)["served"]
    put(model, served.step, served.own, read, served.earlier)
    return served


def _with_peaks(
    model: RankingModel,
    entry: Mapping[str, Any],
    peaks: Mapping[str, int],
    *,
    read: Read,
    evaluate: Callable[[], dict[str, float]],
) -> Served:
    """Return an evaluation with the own parts of others for the targets that gain by it."""
    step, before = entry["step"], entry["metrics"]
    own = {target: peak for target, peak in peaks.items() if peak != step}
    while own:
        put(model, step, own, read)
        metrics = evaluate()
        better = {t: at for t, at in own.items() if value_of(metrics[t]) > value_of(before[t])}
        if better == own:
            return Served(step=step, own=own, metrics=metrics)
        own = better
    return Served(step=step, own={}, metrics=before)
