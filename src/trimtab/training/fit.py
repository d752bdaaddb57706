"""A run's training: the loop, with its curves and checkpoints kept in the folder."""

import json
from pathlib import Path

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.evaluation.evaluate import Evaluation, finite
from trimtab.training import checkpoint
from trimtab.training.folder import CURVES, LAST, rows_of, write
from trimtab.training.front import keep
from trimtab.training.loop import Evaluate, train
from trimtab.training.order import room
from trimtab.training.progress import Progress
from trimtab.training.state import State


def fit(
    state: State, settings: RunSettings, prepared: Prepared, folder: Path, progress: Progress
) -> None:
    """Train from wherever ``state`` stands; each evaluation leaves a checkpoint to go on from."""
    rows = rows_of(prepared)

    def save(state: State, better: bool) -> None:
        with state.averaged():
            keep(folder, state.curves, state.model.state_dict(), settings.training.passes)
        checkpoint.save(folder / LAST, state.tensors(), state.facts() | {"rows": rows})
        lines = [json.dumps(finite(entry)) for entry in state.curves]
        write(folder / CURVES, "\n".join(lines) + "\n")
        progress.evaluated(state)

    train(
        state,
        prepared.train,
        settings.training,
        evaluate=evaluating(state, settings, prepared),
        save=save,
        progress=progress.advance,
        buffer_rows=room(prepared.train, settings.data.memory),
    )


def evaluating(
    state: State, settings: RunSettings, prepared: Prepared, only: str | None = None
) -> Evaluate:
    """Return what measures each learnt target's order of the valid rows, or one target's alone."""
    learnt = [name for name, target in settings.targets.items() if target.weight > 0]

    def evaluate() -> dict[str, float]:
        ranks = Evaluation(state.model, prepared.valid).ranks()
        return {name: ranks[name] for name in ([only] if only else learnt)}

    return evaluate
