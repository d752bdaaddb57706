"""The run file: what a user may write, assembled from the settings of every part."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt, model_validator
from torch import nn

from trimtab.balancing import FixedSettings, balancers
from trimtab.calibration import PlattSettings, calibrators
from trimtab.config.training import LossSettings, TrainingSettings
from trimtab.data.feature import features
from trimtab.data.labels import LabelColumn
from trimtab.data.prepare import DataPlan
from trimtab.data.scenes import ALL, OTHER
from trimtab.data.settings import DataSettings, ScenesSettings
from trimtab.errors import SettingsError, nearest
from trimtab.features.encoder import length_of
from trimtab.features.settings import EmbeddingSettings
from trimtab.layers import TowerSettings
from trimtab.settings import Settings
from trimtab.targets import targets
from trimtab.trunks import SharedBottomSettings, trunks

AnyFeature: Any = features.union()
AnyTarget: Any = targets.union()
AnyTrunk: Any = trunks.union()
AnyBalancer: Any = balancers.union()
AnyCalibration: Any = Annotated[
    calibrators.union(),
    BeforeValidator(lambda table: {"kind": "platt"} | table if isinstance(table, dict) else table),
]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class ReportSettings(Settings):
    """What the report of a run holds."""

    importance: bool = True
    """Whether to measure which features carry each target, after training."""
    importance_rows: PositiveInt = 20_000
    """Held-out rows to measure it on, at most."""


class RunSettings(Settings):
    """A run file."""

    data: DataSettings = DataSettings()
    features: dict[str, AnyFeature] = Field(min_length=1)
    scenes: ScenesSettings | None = None
    targets: dict[str, AnyTarget] = Field(min_length=1)
    embedding: EmbeddingSettings = EmbeddingSettings()
    trunk: AnyTrunk = SharedBottomSettings()
    tower: TowerSettings = TowerSettings()
    loss: LossSettings = LossSettings()
    balancing: AnyBalancer = FixedSettings()
    training: TrainingSettings = TrainingSettings()
    calibration: AnyCalibration = PlattSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _consistent(self) -> "RunSettings":
        problems = [*self._names(), *self._funnels(), *self._places(), *self._shares()]
        problems += [*self._windows(), *self._groups(), *self._trunk(), *self._typical()]
        problems += self._lengths()
        for name, target in self.targets.items():
            problems += target.problems(name, self.targets)
        problems += self.balancing.problems({n: t.weight for n, t in self.targets.items()})
        if not any(target.weight > 0 for target in self.targets.values()):
            problems.append("targets: every weight is 0, so there is nothing to learn")
        if self.scenes and not any(self.scenes.weights.get(s, 1) for s in self.scene_names()):
            problems.append("scenes.weights: every weight is 0, so there is nothing to learn")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _names(self) -> list[str]:
        """Refuse names that cannot name a part of a model."""
        tasks = [t.task for t in self.targets.values() if t.task]
        named = {"targets.": self.targets, "scenes.": self.scene_names(), "targets: task ": tasks}
        taken = nn.ModuleDict()
        return [
            f"{place}{name}: cannot be used as a name; expected letters, digits and _, a letter "
            "first, and no word of PyTorch's modules, such as 'keys'. Choose another"
            + (f", and give column = {name!r}" if place == "targets." else "")
            for place, names in named.items()
            for name in names
            if not _NAME.fullmatch(name) or hasattr(taken, name)
        ]

    def _typical(self) -> list[str]:
        """Keep names free for the typical values beside quantities."""
        return [
            f"targets.{taken}: the typical value of {name!r} has this name; choose another"
            for name in self.targets
            if (taken := f"{name}_typical") in self.targets
        ]

    def _lengths(self) -> list[str]:
        """Keep names free for the tables of lists' lengths."""
        return [
            f'features."{taken}": the table of the lengths of {name!r} has this name; '
            "choose another"
            for name, feature in self.features.items()
            if feature.pooling() and (taken := length_of(name)) in self.features
            if self.features[taken].table(taken) == taken
        ]

    def _funnels(self) -> list[str]:
        problems = []
        for name, target in self.targets.items():
            where, parent = f"targets.{name}.given", target.given
            if parent is None:
                continue
            if parent not in self.targets:
                problems.append(
                    f"{where}: no target named {parent!r}. {nearest(parent, self.targets)}"
                )
            elif self.targets[parent].kind != "binary":
                kind = self.targets[parent].kind
                problems.append(f"{where}: {parent!r} is a {kind}; expected a binary target")
            elif name in (cycle := self.ancestors(name)) and name == min(cycle):
                problems.append(
                    f"{where}: a cycle, {' <- '.join([name, *cycle])}; a target cannot come before "
                    "itself"
                )
            if f"{name}_given_{parent}" in self.targets:
                problems.append(
                    f"targets.{name}_given_{parent}: the prediction of {name!r} where {parent!r} "
                    "happens has this name; choose another"
                )
        return problems

    def _places(self) -> list[str]:
        """Check that each target is in known scenes, and a step wherever it is given."""
        known, problems = self.scene_names(), []
        staged = self.scenes is not None and self.scenes.stages is not None
        for name, target in self.targets.items():
            named = [target.scene] if isinstance(target.scene, str) else target.scene or []
            problems += [
                f"targets.{name}.scene: no scene named {scene!r}. "
                + (nearest(scene, known) if self.scenes else "The run file has no [scenes]")
                for scene in named
                if scene not in known
            ]
            if staged and len(named) != 1:
                problems.append(
                    f"targets.{name}.scene: with stages, name one of {', '.join(known)}"
                )
            parent = target.given
            if parent in self.targets and not staged:
                lost = set(self.scenes_of(name)) - set(self.scenes_of(parent))
                problems += [
                    f"targets.{name}.given: {parent!r} is not in scene {scene!r}, where {name!r} is"
                    for scene in sorted(lost)
                ]
        for scene in self.scenes.weights if self.scenes else ():
            if scene not in known:
                problems.append(
                    f"scenes.weights: no scene named {scene!r}. {nearest(scene, known)}"
                )
        return problems

    def _shares(self) -> list[str]:
        problems = []
        for name, feature in self.features.items():
            owner = feature.shares
            if feature.pooling() == "attention" and not self._is_single(owner):
                problems.append(
                    f"features.{name}.pool: attention weighs the list by the row's own item; "
                    f"expected shares = the 'id' feature of the same things, such as \"video_id\""
                )
            if owner is None:
                continue
            where = f"features.{name}.shares"
            if owner not in self.features or owner == name:
                others = [f for f in self.features if f != name]
                problems.append(
                    f"{where}: no other feature named {owner!r}. {nearest(owner, others)}"
                )
            elif (
                self.features[owner].shares
                or self.features[owner].table(owner) is None
                or (feature.table(name) != owner)
            ):
                problems.append(f"{where}: {owner!r} has no table of its own to share")
        return problems

    def _is_single(self, feature: str | None) -> bool:
        """Say whether a feature has one id a row, in a table."""
        found = self.features.get(feature or "")
        return found is not None and found.pooling() is None and found.table("") is not None

    def _windows(self) -> list[str]:
        """Check that there is a time where a label is known only some time after its row."""
        return [
            f"{label.where}.window: needs data.time, the column with the time of the row"
            for label in self.labels().values()
            if label.window is not None and self.data.time is None
        ]

    def _groups(self) -> list[str]:
        """Check the number features that targets are grouped by."""
        problems = []
        numbers = [name for name, feature in self.features.items() if feature.table(name) is None]
        for name, target in self.targets.items():
            by = target.build(name, self.targets).by
            if by is not None and by not in numbers:
                near = nearest(by, numbers) if numbers else "The run file has none"
                problems.append(
                    f"targets.{name}.head.by: {by!r} is no number feature (with another scale than "
                    f"'quantile', which makes ids). {near}"
                )
        return problems

    def _trunk(self) -> list[str]:
        """Check the targets that the trunk names."""
        try:
            self.tasks()
        except SettingsError as error:
            return [str(error)]
        return []

    def ancestors(self, name: str) -> list[str]:
        """Return the steps before a target, nearest first; stops after one round of a cycle."""
        found: list[str] = []
        parent = self.targets[name].given
        while parent in self.targets and parent not in found:
            found.append(parent)
            parent = self.targets[parent].given
        return found

    def scene_names(self) -> list[str]:
        """Return every scene that a row may be in."""
        if self.scenes is None:
            return [ALL]
        return list(self.scenes.stages or [*self.scenes.values, OTHER])

    def scenes_of(self, target: str) -> list[str]:
        """Return the scenes whose towers have a target."""
        scene = self.targets[target].scene
        named = [scene] if isinstance(scene, str) else scene
        return named or self.scene_names()

    def tasks(self) -> dict[str, str]:
        """Return target to task."""
        default = self.trunk.tasks(list(self.targets))
        return {name: target.task or default[name] for name, target in self.targets.items()}

    def labels(self) -> dict[str, LabelColumn]:
        """Return every label that a target needs."""
        return {
            label: column
            for name, target in self.targets.items()
            for label, column in target.labels(name, self.targets).items()
        }

    def plan(self) -> DataPlan:
        """Return what decides the encoded columns."""
        weights = {"": self.data.row_weight} if self.data.row_weight else {}
        weights |= {n: t.row_weight for n, t in self.targets.items() if t.row_weight}
        return DataPlan(
            data=self.data,
            features=self.features,
            scenes=self.scenes,
            labels=self.labels(),
            weights=weights,
        )
