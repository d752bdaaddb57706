"""A run's settings cut down to one of its targets."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import PrivateAttr

from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import DataPlan
from trimtab.targets.base import TargetSettings

AnySettings = TypeVar("AnySettings", bound=RunSettings)


class Alone(RunSettings):
    """A run's settings for one of its targets.

    Labels are read as the whole run reads them: a step that was not reached is 0 here too, though
    the target stands behind no other one any more; and the encoded rows are the run's own.
    """

    _plan: DataPlan = PrivateAttr()

    @classmethod
    def of(cls, settings: RunSettings, target: str) -> "Alone":
        """Cut a run's settings down to one target and what its loss and prediction need.

        A probability is learnt directly over all rows. A quantity behind an earlier step keeps that
        step, without which it has no prediction over all rows; a blend keeps the labels of its
        behaviours, as targets of weight 0. What the trunk says of other targets is left out, and so
        is balancing.

        Raises
        ------
        SettingsError
            When the rest is no valid run file.
        """
        content = settings.model_dump(mode="json", exclude={"balancing"})
        weights = _needed(settings, target)
        content["targets"] = {
            name: _kept(settings, name, weights).model_dump(mode="json") | {"weight": weight}
            for name, weight in weights.items()
        }
        content["report"]["importance"] = False
        tasks = settings.tasks()
        gone = {*settings.targets, *tasks.values()} - {*weights, *(tasks[n] for n in weights)}
        content["trunk"] = without(content["trunk"], gone)
        parsed = parse(content, where=f"{target} alone")
        alone = cls.model_validate(dict(parsed))
        alone._plan = settings.plan()
        return alone

    def plan(self) -> DataPlan:
        """Return what decides the encoded columns: what decides the whole run's."""
        return self._plan


def _needed(settings: RunSettings, name: str) -> dict[str, float]:
    """Return the targets that one target needs, with their weights, in the run file's order."""
    target, weights = settings.targets[name], {name: 1.0}
    if target.given and target.build(name, settings.targets).measure != "probability":
        weights[target.given] = 1.0
    for label in target.labels(name, settings.targets):
        if label in settings.targets:
            weights.setdefault(label, 0.0)
    return {other: weights[other] for other in settings.targets if other in weights}


def _kept(settings: RunSettings, name: str, weights: Mapping[str, float]) -> TargetSettings:
    """Return a target; behind the step before it where that is learnt too."""
    kept: TargetSettings = settings.targets[name]
    return kept if weights.get(kept.given or "") else kept.over_all_rows()


def without(trunk: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    """Return a trunk's settings without some targets; its default where too little is left."""
    cut = {}
    for key, value in trunk.items():
        names = set(_names(value))
        if not names & gone:
            cut[key] = value
        elif isinstance(value, Mapping):
            left = {k: [n for n in v if n not in gone] for k, v in value.items() if k not in gone}
            cut |= {key: {k: v for k, v in left.items() if v}} if any(left.values()) else {}
        elif len(names - gone) > 1:
            cut[key] = [name for name in value if name not in gone]
    return cut


def _names(value: Any) -> Iterator[str]:
    """Return the names in a list, or in a table of lists and in its keys."""
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield key
            yield from _names(inside)
    elif isinstance(value, list):
        yield from (name for name in value if isinstance(name, str))


def seeded(settings: AnySettings, seed: int) -> AnySettings:
    """Return the same settings with another seed."""
    training = settings.training.model_copy(update={"seed": seed})
    return settings.model_copy(update={"training": training})
