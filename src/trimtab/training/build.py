"""From settings and statistics to the parts of a training: model, objective, optimisers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trimtab.balancing.base import Balancer
from trimtab.balancing.objective import Objective
from trimtab.config.schema import RunSettings
from trimtab.config.training import TrainingSettings
from trimtab.data.columns import Columns, Names, take_by_numpy
from trimtab.data.prepare import Prepared
from trimtab.data.statistics import Statistics
from trimtab.features.encoder import FeatureEncoder, IdFeature
from trimtab.features.engines import Engine
from trimtab.layers import initialise
from trimtab.model import RankingModel
from trimtab.native.adam import update
from trimtab.native.rows import take
from trimtab.own import OwnPath
from trimtab.targets.base import Target
from trimtab.towers import Tower
from trimtab.training.adam import FusedAdamW, update_by_pytorch
from trimtab.training.at_once import at_once
from trimtab.training.dense import Dense, can_compile, require_precision
from trimtab.training.state import State

PROCESSOR = torch.device("cpu")
LABELS = 1 << 20
"""Training rows that targets learn their scale from where ``data.memory`` is set."""


def build_model(
    settings: RunSettings,
    statistics: Statistics,
    names: Names,
    engine: Engine | None = None,
) -> RankingModel:
    """Build the model of a run, at its start; learn nothing from labels yet.

    Parameters
    ----------
    engine
        What keeps the tables; plain PyTorch by default.
    """
    features = _features(settings, statistics, names, engine)
    tasks = settings.tasks()
    members = {task: [t for t in tasks if tasks[t] == task] for task in tasks.values()}
    scenes = statistics.scenes.names
    trunk = settings.trunk.build(features.out_width, features.own_out_width, members, len(scenes))
    targets = {n: t.build(n, settings.targets) for n, t in settings.targets.items()}
    unused = [name for name, target in settings.targets.items() if not target.weight]
    towers = {}
    for scene in scenes:
        inside = {name: tasks[name] for name in targets if scene in settings.scenes_of(name)}
        towers[scene] = Tower(
            trunk.out_width,
            inside,
            {name: targets[name].width for name in inside},
            apart=unused,
            **settings.tower.model_dump(),
        )
    own = {
        name: OwnPath(
            trunk.out_width, features.own_out_width, settings.embedding.own_hidden, target.width
        )
        for name, target in targets.items()
        if features.own_out_width
    }
    given = {name: t.given for name, t in settings.targets.items() if t.given}
    model = RankingModel(
        features,
        trunk,
        towers,
        targets,
        staged=statistics.scenes.staged,
        given=given,
        own=own,
        by=_columns_of(targets, names),
        apart=unused,
    )
    initialise(model, settings.training.seed)
    return model


def _columns_of(targets: Mapping[str, Target], names: Names) -> dict[str, int]:
    """Return the column of the numbers that each target is grouped by, where it is."""
    return {n: names.numbers.index(t.by) for n, t in targets.items() if t.by is not None}


def _features(
    settings: RunSettings, statistics: Statistics, names: Names, engine: Engine | None
) -> FeatureEncoder:
    def described(columns: Sequence[str]) -> list[IdFeature]:
        return [
            IdFeature(
                name=name,
                table=settings.features[name].table(name) or name,
                pool=settings.features[name].pooling(),
                query=settings.features[name].asks(),
                longest=settings.features[name].longest(),
            )
            for name in columns
        ]

    return FeatureEncoder(
        described(names.ids),
        described(names.lists),
        tables=statistics.tables,
        numbers=statistics.pieces(names.numbers),
        targets=list(settings.targets),
        engine=engine,
        **settings.embedding.model_dump(exclude={"own_hidden", "engine"}),
    )


def learn_labels(model: RankingModel, columns: Columns) -> None:
    """Let each target learn its scale from training labels, and start its heads from it.

    Only rows count whose scene has the target and on which the step before it happened.
    """
    labels = {name: torch.from_numpy(columns.label(name).copy()) for name in columns.names.labels}
    scene = torch.from_numpy(np.array(columns.arrays["scene"]))
    for (name, target), present in zip(model.targets.items(), model.present, strict=True):
        label, parent = target.label(labels), model.given.get(name)
        known = present[scene] & ~label.isnan()
        by = None
        if name in model.by:
            column = columns.arrays["numbers"][:, model.by[name]]
            by = torch.from_numpy(np.array(column, dtype=np.float32))
        if parent is not None:
            known &= labels[parent] == 1
        bias = target.learn(label[known], None if by is None else by[known])
        for tower in model.towers.values():
            if name in tower.heads:
                tower.heads[name].bias.data.copy_(bias)


def build_objective(settings: RunSettings, scenes: Sequence[str]) -> Objective:
    """Build the objective: the weights of scenes, and the mean or sum over a tower's targets."""
    learnt = [name for name, target in settings.targets.items() if target.weight > 0]
    in_scene = {s: [t for t in learnt if s in settings.scenes_of(t)] for s in scenes}
    weights = settings.scenes.weights if settings.scenes else {}
    share = {"sum": lambda s: 1.0, "mean": lambda s: 1.0 / max(len(in_scene[s]), 1)}
    factor = {s: weights.get(s, 1.0) * share[settings.loss.tower](s) for s in scenes}
    staged = settings.scenes is not None and settings.scenes.stages is not None
    scales = {
        target: [factor[settings.scenes_of(target)[0] if staged else s] for s in scenes]
        for target in settings.targets
    }
    return Objective(scales, settings.loss.denominator)


def build_optimizers(
    model: RankingModel, training: TrainingSettings, balancer: Balancer
) -> tuple[FusedAdamW, torch.optim.Optimizer]:
    """Build row-wise Adagrad for the tables and Adam for the rest, the balancer's weights too."""
    table = model.features.tables.weight
    dense = {"params": [p for p in model.parameters() if p is not table]}
    return (
        FusedAdamW(
            [dense, *balancer.parameter_groups()],
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            update=update if model.features.engine.compiles else update_by_pytorch,
        ),
        model.features.engine.optimizer(
            model.features.tables,
            learning_rate=training.table_learning_rate,
            weight_decay=training.table_weight_decay,
            longest=training.max_row_gradient_norm,
        ),
    )


def fuse(model: RankingModel) -> None:
    """Have C++ compute the layers and losses that it knows, while the model is in training."""
    for part in model.modules():
        if hasattr(part, "fused"):
            part.fused = True  # type: ignore[assignment]


def build_dense(training: TrainingSettings, model: RankingModel, objective: Objective) -> Dense:
    """Build the part of an update above the tables.

    Raises
    ------
    SettingsError
        When the device does not multiply in the precision that the settings ask for.
    """
    device = model.present.device
    require_precision(training.precision, device)
    compiled = training.compile and can_compile(device)
    if model.features.engine.compiles and training.precision == "float32" and not compiled:
        fuse(model)
    return Dense(
        model,
        objective,
        precision=training.precision,
        compiled_rows=training.batch_rows if compiled else 0,
    )


def build_state(
    settings: RunSettings, prepared: Prepared, device: torch.device = PROCESSOR
) -> State:
    """Build everything that training changes, at its start, and seed what it draws later."""
    statistics = prepared.statistics
    engine = settings.embedding.engine.build(device)
    model = build_model(settings, statistics, prepared.train.names, engine)
    rows = prepared.train
    learn_labels(model, rows if settings.data.memory is None else rows.spread(LABELS))
    model.to(device)
    torch.manual_seed(settings.training.seed)
    weights = {name: target.weight for name, target in settings.targets.items()}
    balancer = settings.balancing.build(weights).to(device)
    objective = build_objective(settings, statistics.scenes.names).to(device)
    forward = build_dense(settings.training, model, objective)
    optimizers = build_optimizers(model, settings.training, balancer)
    return State(
        model=model,
        objective=objective,
        forward=forward,
        at_once=at_once(model, objective, balancer, optimizers, settings.training),
        take=take if engine.compiles else take_by_numpy,
        balancer=balancer,
        optimizers=list(optimizers),
        keep=settings.training.average,
    )
