"""What of an earlier run's parts another one takes over, and what stands in the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from trimtab.config.schema import RunSettings
from trimtab.features.tables import Tables, spans
from trimtab.training.folder import differences
from trimtab.training.state import TABLE, State, under

_FREE: Mapping[str, set[str]] = {
    "features": {"column", "least_rows"},
    "targets": {"column", "weight", "positive_weight", "row_weight"},
    "scenes": {"weights"},
    "embedding": {"deviation", "dropout", "engine"},
    "trunk": {"dropout"},
    "tower": {"dropout"},
}
"""Settings of the model's parts that may change when a run goes on from another."""
_STATE = f"optimizer.model.{TABLE}."


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where tables and blocks lie in the one array of an earlier run.

    Attributes
    ----------
    tables, blocks
        Table to its rows, and block to its width, in order.
    """

    tables: Mapping[str, int]
    blocks: Mapping[str, int]

    @classmethod
    def of(cls, tables: Tables) -> "Layout":
        """Return the layout of tables."""
        return cls(tables=tables.tables, blocks=tables.blocks)

    def rows(self, new: Tables) -> Iterator[tuple[slice, slice]]:
        """Return where each table's rows were, and where they are in ``new``."""
        for name, was in spans(self.tables).items():
            if name in new.tables:
                place = new.offset[name]  # New ids' rows come after those that were there.
                yield was, slice(place, place + self.tables[name])

    def columns(self, new: Tables) -> Iterator[tuple[slice, slice]]:
        """Return where the columns were of the blocks that ``new`` has too, and where they are."""
        return _both(self.blocks, new.blocks)

    def states(self, new: Tables, width: int) -> Iterator[tuple[slice, slice]]:
        """Return the same of state ``width`` wide: one number a weight, else one a block."""
        return _both(*(_numbers(blocks, width, new) for blocks in (self.blocks, new.blocks)))

    def fits(self, saved: Tensor, new: Tables, width: int) -> bool:
        """Say whether the earlier run's state has as many numbers a block as ``width`` tells."""
        return saved.shape[1] == sum(_numbers(self.blocks, width, new).values())


def _numbers(blocks: Mapping[str, int], width: int, new: Tables) -> Mapping[str, int]:
    """Return how many numbers of state each block has, where all of ``new``'s have ``width``."""
    return blocks if width == new.width else dict.fromkeys(blocks, 1)


def _both(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[tuple[slice, slice]]:
    """Return where each part that both have lies in the one and in the other."""
    was, now = spans(old), spans(new)
    return ((place, now[name]) for name, place in was.items() if name in now)


def unlike(saved: RunSettings, now: RunSettings) -> list[str]:
    """Return the differences that keep a run from going on from another, a line each."""
    found = []
    if list(saved.features) != list(now.features):
        found.append(_names("features", list(saved.features), list(now.features)))
    if tuple(saved.tasks().values()) != tuple(now.tasks().values()):
        tasks = [list(dict.fromkeys(run.tasks().values())) for run in (saved, now)]
        if tasks[0] != tasks[1]:
            found.append(_names("tasks of the trunk", *tasks))
    runs = saved, now
    return [*found, *differences(_parts(saved, runs), _parts(now, runs))]


def _parts(run: RunSettings, runs: tuple[RunSettings, RunSettings]) -> dict[str, Any]:
    """Return the settings that must be equal, of the features and targets that both runs have."""
    content: dict[str, Any] = {}
    for table in ("features", "targets"):
        both = [name for name in getattr(runs[0], table) if name in getattr(runs[1], table)]
        content[table] = {
            name: getattr(run, table)[name].model_dump(mode="json", exclude=_FREE[table])
            for name in both
        }
    for table in ("scenes", "embedding", "trunk", "tower"):
        part = getattr(run, table)
        content[table] = part and part.model_dump(mode="json", exclude=_FREE[table])
    return content


def _names(what: str, saved: list[str], now: list[str]) -> str:
    """Say in one line which names came, went or moved."""
    told = [
        f"{word} {', '.join(islice(names, 5))}" + ", ..." * (len(names) > 5)
        for word, names in (
            ("new:", [name for name in now if name not in saved]),
            ("gone:", [name for name in saved if name not in now]),
        )
        if names
    ]
    return f"{what}: {'; '.join(told) or 'in another order'}"


@torch.no_grad()
def take_over(
    state: State, tensors: Mapping[str, Tensor], layout: Layout, *, balancing: bool
) -> None:
    """Set the parts of a new training that an earlier one has too to what they were there.

    Parts of targets that the earlier one did not have stay as they start.

    Parameters
    ----------
    tensors
        As ``State.tensors`` names them; of the tables, as ``layout`` says.
    balancing
        Whether the balancer goes on too.

    Raises
    ------
    ValueError
        When a part has another shape, or the trunk would be new in part; nothing is set then.
    """
    own, old = state.model.state_dict(), under("model.", tensors)
    wrong = [
        name
        for name, tensor in own.items()
        if name != TABLE
        and (old[name].shape != tensor.shape if name in old else name.startswith("trunk."))
    ]
    if wrong:
        raise ValueError(f"parts have other shapes: {', '.join(wrong[:5])}.")
    for name, tensor in state.tables_state().items():
        if not layout.fits(tensors[_STATE + name], state.model.features.tables, tensor.shape[1]):
            raise ValueError(
                "its tables have step sizes of another kind: keep embedding.engine.optimizer."
            )
    for name, tensor in own.items():
        if name in old and name != TABLE:
            tensor.copy_(old[name])
    _tables(state, tensors, layout)
    if balancing:
        state.balancer.load_state_dict(under("balancer.", tensors))
    for name, parameter, optimizer in state.learnt():
        saved = under(f"optimizer.{name}.", tensors)
        if saved and (balancing or not name.startswith("balancer.")) and name != f"model.{TABLE}":
            optimizer.state[parameter] = {k: t.to(parameter.device) for k, t in saved.items()}


def _tables(state: State, tensors: Mapping[str, Tensor], layout: Layout) -> None:
    """Set the rows of known ids, and their step sizes."""
    tables = state.model.features.tables
    for was, rows in layout.rows(tables):
        for before, now in layout.columns(tables):
            tables.write(rows, now, tensors[f"model.{TABLE}"][was, before])
        for name, tensor in state.tables_state().items():
            for before, now in layout.states(tables, tensor.shape[1]):
                tensor[rows, now] = tensors[_STATE + name][was, before].to(tensor.device)
