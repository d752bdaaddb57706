"""The training loop. Read this file first; every other part is one call away."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trimtab.batch import Batch
from trimtab.config.training import TrainingSettings
from trimtab.data.columns import Columns
from trimtab.errors import RunError
from trimtab.training.front import mean
from trimtab.training.order import Order
from trimtab.training.state import TABLE, State

Evaluate = Callable[[], dict[str, float]]
"""Returns each target's ranking metric on the valid rows."""


def train(
    state: State,
    rows: Columns,
    settings: TrainingSettings,
    *,
    evaluate: Evaluate,
    save: Callable[[State, bool], None],
    progress: Callable[[State, int], None],
    buffer_rows: int | None = None,
) -> None:
    """Train ``state`` in place from wherever it stands, until no evaluation gets better.

    Parameters
    ----------
    buffer_rows
        Most rows that are mixed with each other; all of them by default.
    save
        Called after each evaluation with the state and whether it is the best so far.
    progress
        Called after each update with the state and its rows.

    Raises
    ------
    RunError
        When a loss or a weight is not finite; what was saved is from before that update.
    """
    order = Order(len(rows), settings.batch_rows, settings.seed, buffer_rows=buffer_rows)
    last, since = order.steps * settings.epochs, state.step
    device = state.model.present.device
    started = time.perf_counter() - state.seconds
    total: dict[str, Tensor] = {}
    for batch in state.batches(rows, order.buffers(state.step, last)):
        if state.stale >= settings.patience:
            break
        renew(state, order, settings)
        losses = update(state, batch.to(device), settings)
        total = {name: total.get(name, 0.0) + loss for name, loss in losses.items()}
        progress(state, len(batch))
        if order.pauses(state.step, settings.evaluations):
            state.watch.require_finite()
            _require_finite(state)
            state.seconds = time.perf_counter() - started
            means = {name: float(sums) / (state.step - since) for name, sums in total.items()}
            better = record(state, means, evaluate, epoch=state.step / order.steps)
            save(state, better)
            total, since = {}, state.step


def renew(state: State, order: Order, settings: TrainingSettings) -> None:
    """Start the tables anew before the first update of every epoch but the first, where asked."""
    if settings.renew_tables and state.step and state.step % order.steps == 0:
        state.renew(settings.seed)


def update(state: State, batch: Batch, settings: TrainingSettings) -> dict[str, Tensor]:
    """Do one update; return each target's loss before it."""
    losses = state.at_once(batch) or _in_parts(state, batch, settings)
    state.step += 1
    state.follow()
    return losses


def _in_parts(state: State, batch: Batch, settings: TrainingSettings) -> dict[str, Tensor]:
    """Compute losses and gradients, and update the weights by them."""
    losses, tasks = state.forward(batch)
    with torch.no_grad():
        state.watch.see(state.step + 1, state.balancer.combine(losses), losses)
    _drop_gradients(state)
    if any(loss.requires_grad for loss in losses.values()):  # Some row's scene has a target.
        different = {id(x): x for x in tasks.values()}  # A shared bottom's is every task's.
        shared = state.model.trunk.shared_parameters()
        state.balancer.backward(losses, list(different.values()), shared)
    if settings.max_gradient_norm is not None:
        dense = [p for p in state.model.parameters() if p.grad is not None and not p.grad.is_sparse]
        torch.nn.utils.clip_grad_norm_(dense, settings.max_gradient_norm)
    for optimizer in state.optimizers:
        optimizer.step()
    return {name: value.detach() for name, value in losses.items()}


def _drop_gradients(state: State) -> None:
    """Forget the last update's gradients, as the optimisers' ``zero_grad`` would, in less time."""
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = None


def _require_finite(state: State) -> None:
    """Raise ``RunError`` before weights are saved that no later step could mend."""
    weights = dict(state.model.named_parameters()) | {TABLE: state.model.features.tables.read()}
    for name, weight in weights.items():
        if not weight.detach().sum(dtype=torch.float32).isfinite():
            raise RunError(
                f"weights of {name} are not finite after step {state.step:,}. Go on from the last "
                "checkpoint with --resume (resume=True) and a smaller training.learning_rate."
            )


def record(state: State, losses: dict[str, float], evaluate: Evaluate, *, epoch: float) -> bool:
    """Evaluate, note it in the curves, and say whether it is the best so far."""
    with state.averaged():
        metrics = evaluate()
    known = mean(metrics)
    score = float(state.step) if known is None else known
    better = score > state.best
    state.stale = 0 if better else state.stale + 1
    if better:
        state.best, state.best_step = score, state.step
    entry: dict[str, Any] = {"step": state.step, "epoch": epoch, "losses": losses, "score": known}
    entry["weights"] = state.balancer.weights()
    state.curves.append(entry | {"metrics": metrics, "best": better})
    return better
