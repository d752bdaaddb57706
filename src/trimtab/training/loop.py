"""The training loop. Read this file first; every other part is one call away."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from trimtab.batch import Batch, Batches
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
        Called after each update with its rows and the state, which may be a few updates further.

    Raises
    ------
    RunError
        When a loss or a weight is not finite; what was saved is from before that update.
    """
    order = Order(len(rows), settings.batch_rows, settings.seed, buffer_rows=buffer_rows)
    last, since = order.steps * settings.epochs, state.step
    started = time.perf_counter() - state.seconds
    total: dict[str, Tensor] = {}
    for batches in state.batches(rows, order.buffers(state.step, last)):
        while batches and state.stale < settings.patience:
            renew(state, order, settings)
            pause = order.pause(state.step, settings.evaluations)
            now, batches = batches.cut(pause - state.step)
            for size, losses in zip(now.sizes, updates(state, now, settings), strict=True):
                total = {name: total.get(name, 0.0) + loss for name, loss in losses.items()}
                progress(state, size)
            if state.step < pause:
                continue
            state.watch.require_finite()
            _require_finite(state)
            state.seconds = time.perf_counter() - started
            means = {name: float(sums) / (state.step - since) for name, sums in total.items()}
            better = record(state, means, evaluate, epoch=state.step / order.steps)
            save(state, better)
            total, since = {}, state.step
        if state.stale >= settings.patience:
            break


def renew(state: State, order: Order, settings: TrainingSettings) -> None:
    """Start the tables anew before the first update of every epoch but the first, where asked."""
    if settings.renew_tables and state.step and state.step % order.steps == 0:
        state.renew(settings.seed)


def updates(
    state: State, batches: Batches, settings: TrainingSettings
) -> Iterator[dict[str, Tensor]]:
    """Do an update a batch, several at once where that is possible; yield what ``update`` gives."""
    device = state.model.present.device
    for some in batches.single() if state.keep else [batches]:  # An average follows each update.
        done = state.at_once(some)
        state.step += len(done)
        if done:
            state.follow()
        yield from done
        _, left = some.cut(len(done))
        for batch in left.split():
            yield update(state, batch.to(device), settings)


def update(state: State, batch: Batch, settings: TrainingSettings) -> dict[str, Tensor]:
    """Do an update part by part; return each target's loss before it."""
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
    state.step += 1
    state.follow()
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
