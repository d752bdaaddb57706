"""A training without a folder: for comparisons of many models, of which none is kept."""

from torch import Tensor

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.training.fit import evaluating
from trimtab.training.front import kept
from trimtab.training.loop import train
from trimtab.training.order import room
from trimtab.training.peaks import Served, serve
from trimtab.training.state import State


def train_in_memory(
    state: State, settings: RunSettings, prepared: Prepared, only: str | None = None
) -> Served:
    """Train with early stopping, and leave the weights in the model that a run would serve.

    ``only`` names the one target that decides, where the others are learnt for its sake.
    """
    weights: dict[int, dict[str, Tensor]] = {}

    def save(state: State, better: bool) -> None:
        wanted = kept(state.curves, settings.training.passes)
        if state.step in wanted:
            with state.averaged():
                weights[state.step] = {n: t.clone() for n, t in state.model.state_dict().items()}
        for step in set(weights) - wanted:
            del weights[step]

    evaluate = evaluating(state, settings, prepared, only)
    train(
        state,
        prepared.train,
        settings.training,
        evaluate=evaluate,
        save=save,
        progress=lambda state, rows: None,
        buffer_rows=room(prepared.train, settings.data.memory),
    )
    return serve(
        state.model, state.curves, settings.training, read=weights.__getitem__, evaluate=evaluate
    )
