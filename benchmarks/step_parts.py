"""Seconds of the parts of a real training step, timed around the functions that do them."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from peers.trimtab_worker import build
from peers.worker import Arrays
from torch.utils.flop_counter import FlopCounterMode

from trimtab.batch import Batch
from trimtab.features.inputs import Dense, Inputs, SharedInputs
from trimtab.training.at_once import in_parts
from trimtab.training.loop import updates
from trimtab.training.order import Order, a_core_is_free
from trimtab.training.state import State

TABLE_NODES = re.compile(r"Project|Expand|Distinct|Table|Lookup|Gather|Embed", re.IGNORECASE)
LAYER_NODES = re.compile(r"Addmm|Mm|Linear|Relu|Threshold|TBackward|Accumulate|MLP|Layer|Silu")
"""Names of autograd's nodes that belong to the tables and first layer, and to the other layers."""
GATHER = "batch gather"


class Clock:
    """Seconds spent in functions, without what is spent in other timed ones inside them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Time a function of an object or a class, where it has it."""
        inner = getattr(owner, name, None)
        if inner is not None:
            setattr(owner, name, self._timed(inner, part))

    def _timed(self, inner: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                whole = time.perf_counter() - start
                self.seconds[part] += whole - self._inside.pop()
                if self._inside:
                    self._inside[-1] += whole

        return timed


def measure(arrays: Arrays, steps: int) -> Iterator[dict[str, float]]:
    """Yield, as often as asked, the seconds a step of each part and of the whole, and its work.

    The whole is measured as training does it, in one call where it can, and part by part.
    """
    state, rows, training = build(arrays)
    apart, watched = build(arrays)[0], build(arrays)[0]
    apart.at_once = watched.at_once = in_parts
    table = watched.model.features.tables.weight
    clock = Clock()
    watch(clock, watched, table)
    order = Order(len(rows), training.batch_rows, training.seed)

    def go(over: Any, count: int) -> float:
        start = time.perf_counter()
        for batches in over.batches(rows, order.buffers(0, count)):
            for _ in updates(over, batches, training):
                pass
        return (time.perf_counter() - start) / count

    for made in (state, apart, watched):
        go(made, min(steps, 10))
    nodes = profiled(lambda: go(watched, min(steps, 20)))
    indices = list(order.indices(0, min(steps, 30)))
    work = counted(state, rows.batch(indices[0]))
    while True:
        found = {"whole": go(state, steps), "whole in parts": go(apart, steps)}
        clock.seconds.clear()
        go(watched, steps)
        for part, seconds in divided(clock.seconds, nodes):
            found[part] = found.get(part, 0.0) + seconds / steps
        start = time.perf_counter()
        for index in indices:
            rows.batch(index, state.take, 1 if a_core_is_free() else torch.get_num_threads())
        found[GATHER] = (time.perf_counter() - start) / len(indices)
        yield found | work


@torch.no_grad()
def counted(state: State, batch: Batch) -> dict[str, float]:
    """Return the dense weights, and the operations of the products of trunk and towers."""
    model = state.model.eval()  # PyTorch's way, whose operations are counted.
    x = Dense(torch.zeros(len(batch), model.features.out_width))
    inputs = Inputs(x=x, own={}, first_order={}, scene=batch.scene)
    with FlopCounterMode(display=False) as trunk:
        tasks = model.trunk(inputs)
    with FlopCounterMode(display=False) as towers:
        model.head(inputs, tasks)
    model.train()
    table = model.features.tables.weight
    weights = sum(p.numel() for p in model.parameters() if p is not table)
    return {
        "trunk_flops": float(trunk.get_total_flops()),
        "tower_flops": float(towers.get_total_flops()),
        "weights": float(weights),
    }


def watch(clock: Clock, state: Any, table: torch.Tensor) -> None:
    model = state.model
    clock.watch(model.trunk, "forward", "rest of the trunk")
    clock.watch(model.features, "forward", "rest of the features")
    clock.watch(model.features, "lookup", "lookup: different rows")
    clock.watch(model.features.tables, "distinct", "table gather")
    for kind in SharedInputs.__subclasses__():
        clock.watch(kind, "project", "first layer")
    clock.watch(model, "head", "towers")
    clock.watch(state.objective, "forward", "loss")
    clock.watch(state.balancer, "combine", "loss")
    clock.watch(state.balancer, "backward", "backward")
    for optimizer in state.optimizers:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        of_table = any(weight is table for weight in weights)
        clock.watch(optimizer, "step", "table update" if of_table else "dense optimiser")


def profiled(run: Callable[[], object]) -> dict[str, float]:
    """Return the share of the backward pass of each of its parts."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    found: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        at, _, node = event.key.partition("evaluate_function: ")
        if at == "autograd::engine::":
            found[_kind(node)] += event.cpu_time_total
    whole = sum(found.values()) or 1.0
    return {part: seconds / whole for part, seconds in found.items()}


def _kind(node: str) -> str:
    if TABLE_NODES.search(node):
        return "backward: first layer, tables"
    return "backward: other layers" if LAYER_NODES.search(node) else "backward: loss"


def divided(seconds: dict[str, float], nodes: dict[str, float]) -> Iterator[tuple[str, float]]:
    for part, spent in seconds.items():
        if part == "backward":
            yield from ((name, share * spent) for name, share in nodes.items())
        else:
            yield part, spent
