"""The systems that are compared: their workers, models, settings and environments."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training_speed import environment

from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.trunks import trunks

from .datasets import Dataset

OURS = "trimtab"
NETWORKS: dict[str, dict[str, Any]] = {
    "kuairand": {  # the widths of the example, in each peer's own architecture
        "embedding": 16,
        "bottom": [64, 32, 16],
        "own_bottom": [64, 32],
        "experts": 4,
        "expert": [64, 32],
        "levels": 1,
        "own_experts": 2,
        "shared_experts": 2,
        "tower": [32],
    },
    "census": {  # what torch-rechub publishes its results on this data set with
        "embedding": 4,
        "bottom": [117],
        "own_bottom": [32, 16],
        "experts": 8,
        "expert": [16],
        "levels": 1,
        "own_experts": 2,
        "shared_experts": 1,
        "tower": [8],
    },
}
TREES = {"leaves": 31, "leaf_rows": 50, "rounds": 2_000, "patience": 50}

VARIANTS = {
    "play": {"quantities": True},
    "plateau": {"lower_rate_on_plateau": True},
}
"""What follows a model's name after a plus, and what it changes in the settings."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What is compared under one name.

    Attributes
    ----------
    module
        The worker, under ``benchmarks``.
    models
        Names that its worker knows, each also with variants of its settings.
    learning_rate
        The package's default, the middle of those that are tried.
    settings
        Data set to what its models are built and trained with.
    python
        Returns the interpreter that it runs in, made when it is not there.
    in_epochs
        Whether it trains in epochs; trees count rounds, which are in their settings.
    """

    module: str
    models: tuple[str, ...]
    learning_rate: float
    settings: dict[str, dict[str, Any]]
    python: Callable[[], Path] = field(default=lambda: Path(sys.executable))
    in_epochs: bool = True


USUAL = ("shared_bottom", "mmoe", "ple")


def varied(models: Iterable[str], variant: str) -> Iterator[str]:
    return (f"{model}+{variant}" for model in models)


def with_networks(**more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: sizes | more.get(name, {}) for name, sizes in NETWORKS.items()}


PEERS = {
    "torch-rechub": System(
        module="peers.torch_rechub_quality",
        models=(*USUAL, "aitm", *varied(USUAL, "play")),
        learning_rate=1e-3,
        settings=with_networks(kuairand={"weight_decay": 1e-5}, census={"weight_decay": 1e-4}),
        python=lambda: environment("torch-rechub"),
    ),
    "deepctr-torch": System(
        module="peers.deepctr_torch_quality",
        models=(*USUAL, *varied(USUAL, "play")),
        learning_rate=1e-3,
        settings=with_networks(),
        python=lambda: environment("deepctr-torch"),
    ),
    "fuxictr": System(
        module="peers.fuxictr_quality",
        models=(*USUAL, *varied(USUAL, "plateau")),  # its default, meant for an evaluation an epoch
        learning_rate=1e-3,
        settings=with_networks(
            **dict.fromkeys(
                NETWORKS, {"embedding_regularizer": 1e-6, "lower_rate_on_plateau": False}
            )
        ),
        python=lambda: environment("fuxictr"),
    ),
    "lightgbm": System(
        module="peers.lightgbm_quality",
        models=("trees",),
        learning_rate=0.1,
        settings=dict.fromkeys(NETWORKS, TREES),
        python=lambda: environment("lightgbm"),
        in_epochs=False,
    ),
    "scikit-learn": System(
        module="peers.scikit_learn_quality",
        models=("trees",),
        learning_rate=0.1,
        settings=dict.fromkeys(NETWORKS, TREES),
        in_epochs=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One system's one model on one data set, before a learning rate and a seed are chosen."""

    system: str
    model: str
    module: str
    python: Callable[[], Path]
    learning_rate: float
    settings: dict[str, Any]
    in_epochs: bool = True
    run: RunSettings | None = None


def candidates(
    dataset: Dataset, systems: Iterable[str], models: Iterable[str] | None, *, play: bool
) -> Iterator[Candidate]:
    """Yield what is to be trained; ``models`` limits the models of every system."""
    for system in systems:
        found = ours(dataset) if system == OURS else peers(dataset, system, play=play)
        yield from (c for c in found if not models or c.model in models)


def ours(dataset: Dataset) -> Iterator[Candidate]:
    """Yield the example itself, then the example with every other trunk, by its defaults."""
    examples_own = dataset.settings.trunk.kind
    for kind in sorted(trunks, key=lambda kind: kind != examples_own):
        run = dataset.settings
        if kind != examples_own:
            run = parse(run.model_dump(mode="json") | {"trunk": {"kind": kind}})
        yield Candidate(
            system=OURS,
            model=kind,
            module="peers.trimtab_quality",
            python=lambda: Path(sys.executable),
            learning_rate=run.training.learning_rate,
            settings={"run_file": _digest(run)},
            run=run,
        )


def peers(dataset: Dataset, name: str, *, play: bool) -> Iterator[Candidate]:
    """Yield a peer's models that the data set has something for."""
    system, facts = PEERS[name], dataset.facts
    skipped = set()
    if not play or all(target["measure"] == "probability" for target in facts["targets"]):
        skipped.add("play")
    for model in system.models:
        variant = model.partition("+")[2]
        if variant not in skipped:
            yield Candidate(
                system=name,
                model=model,
                module=system.module,
                python=system.python,
                learning_rate=system.learning_rate,
                settings=system.settings[dataset.name] | VARIANTS.get(variant, {}),
                in_epochs=system.in_epochs,
            )


def _digest(run: RunSettings) -> str:
    """Return a name for everything that a run file says but where its data lies."""
    content = run.model_dump(mode="json", exclude={"data"})
    for changing in ("seed", "epochs", "threads", "learning_rate", "table_learning_rate"):
        del content["training"][changing]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
