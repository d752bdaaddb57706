"""Whole training steps of a plain model in one call."""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trimtab.native.compiler import library
from trimtab.native.pointers import float_at, floats_at, ids_at, longs

_Long, _Place = ctypes.c_int64, ctypes.c_void_p
_Longs, _Places = ctypes.POINTER(_Long), ctypes.POINTER(_Place)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """What a plain model is made of: relu behind every layer, one logit a head.

    Attributes
    ----------
    offsets
        Of each column's table within the one that holds them all.
    bottom
        The first layer, over the embeddings of the ids and then the numbers, and more behind it.
    tower
        At least one.
    target_weights
        What a target's loss, a mean over rows, is multiplied by.
    """

    table: Float[Tensor, "rows width"]
    offsets: Int[Tensor, " columns"]
    bottom: Sequence[nn.Linear]
    tower: Sequence[nn.Linear]
    heads: Sequence[nn.Linear]
    target_weights: Float[Tensor, " targets"]

    @property
    def dense(self) -> list[Tensor]:
        """Weight and bias of each layer, those of heads last."""
        layers = (*self.bottom, *self.tower, *self.heads)
        return [part for layer in layers for part in (layer.weight, layer.bias)]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the weights are updated.

    Attributes
    ----------
    states
        Of each of ``Plain.dense``, as ``trimtab.native.adam`` has them.
    squares
        Row-wise Adagrad's sums, one a table row.
    adam, adagrad
        The optimisers' settings.
    """

    states: Sequence[Mapping[str, Tensor]]
    squares: Float[Tensor, "rows 1"]
    adam: Mapping[str, Any]
    adagrad: Mapping[str, Any]


class Network:
    """A plain model and its optimisers as C++ reads them, found once for many steps.

    Their tensors are held here. Where another one takes the place of one of them in the model or an
    optimiser, another network is to be made.

    Parameters
    ----------
    repeated
        How often table rows must repeat in a batch, on average, for a step to be done.
    block
        Outputs of the first layer that are computed together.
    """

    def __init__(self, plain: Plain, rules: Rules, *, repeated: int, block: int) -> None:
        dense, layers = plain.dense, (*plain.bottom, *plain.tower)
        states = [tensor for state in rules.states for tensor in state.values()]
        others = [plain.offsets, plain.target_weights, plain.table, rules.squares]
        self._held = [tensor.detach() for tensor in (*dense, *states, *others)]
        self._rules = rules
        self._weights = {weight: weight.data_ptr() for weight in (*dense, plain.table)}
        self._repeated = _Long(repeated)
        self._steps = library().plain_steps
        self._steps.restype = _Long
        self._struct = _Network(
            columns=len(plain.offsets),
            width=plain.table.shape[1],
            numbers=plain.bottom[0].in_features - len(plain.offsets) * plain.table.shape[1],
            bottom=len(plain.bottom),
            tower=len(plain.tower),
            targets=len(plain.heads),
            widths=longs([layer.out_features for layer in layers]),
            block=block,
            weights=floats_at(dense),
            means=floats_at([state["exp_avg"] for state in rules.states]),
            squares=floats_at([state["exp_avg_sq"] for state in rules.states]),
            steps=floats_at([state["step"] for state in rules.states]),
            offsets=ids_at(plain.offsets),
            target_weights=float_at(plain.target_weights),
            table=float_at(plain.table),
            table_squares=float_at(rules.squares),
        )

    def stands(self, state: Mapping[str, Tensor], squares: Tensor) -> bool:
        """Say whether the weights lie where they lay, and the optimisers' states are those of then.

        Parameters
        ----------
        state, squares
            The first weight's and the tables'; a checkpoint that is read exchanges all.
        """
        same = self._rules.states[0] is state and self._rules.squares is squares
        return same and all(w.data_ptr() == place for w, place in self._weights.items())

    def steps(
        self,
        wanted: Int[Tensor, "rows columns"],
        numbers: Float[Tensor, "rows numbers"],
        labels: Sequence[Float[Tensor, " rows"]],
        sizes: Sequence[int],
    ) -> Float[Tensor, "steps targets"]:
        """Do a step a batch; return the mean losses of each one's rows, as they were before it.

        A batch whose table rows repeat less than asked, or with a loss that is not finite or nearly
        so, changes nothing, and no batch behind it is looked at. What is done is to the last bit
        what the layers, losses and updates of this folder give one by one.

        Parameters
        ----------
        wanted
            Table rows, each column's of its own table, counted within it.
        sizes
            Rows of each batch; they lie end to end.

        Raises
        ------
        MemoryError
            When there is none left; the weights may be between two steps.
        """
        assert sum(sizes) == len(wanted), (sizes, len(wanted))
        wanted, numbers = wanted.contiguous(), numbers.contiguous()
        losses = numbers.new_empty(len(sizes), len(labels))
        batch = _Batch(
            rows=len(wanted),
            wanted=ids_at(wanted),
            numbers=float_at(numbers),
            labels=floats_at(labels),
            label_steps=longs([label.stride(0) for label in labels]),
        )
        struct, adam, adagrad = self._struct, self._rules.adam, self._rules.adagrad
        (struct.beta1, struct.beta2), struct.eps = adam["betas"], adam["eps"]
        struct.rate, struct.decay = adam["lr"], adam["weight_decay"]
        struct.table_rate, struct.table_decay = adagrad["lr"], adagrad["weight_decay"]
        struct.table_longest, struct.table_eps = adagrad["longest"] or 0.0, adagrad["eps"]
        network, count, rows = ctypes.byref(struct), _Long(len(sizes)), longs(sizes)
        found = float_at(losses)
        done = self._steps(network, ctypes.byref(batch), count, rows, self._repeated, found)
        if done < 0:
            raise MemoryError
        return losses[:done]


class _Batch(ctypes.Structure):
    """``Batch`` of ``step.cpp``."""

    _fields_ = (
        ("rows", _Long),
        ("wanted", _Place),
        ("numbers", _Place),
        ("labels", _Places),
        ("label_steps", _Longs),
    )


class _Network(ctypes.Structure):
    """``Network`` of ``step.cpp``."""

    _fields_ = (
        *((n, _Long) for n in ("columns", "width", "numbers", "bottom", "tower", "targets")),
        ("widths", _Longs),
        ("block", _Long),
        *((n, _Places) for n in ("weights", "means", "squares", "steps")),
        *((n, _Place) for n in ("offsets", "target_weights", "table", "table_squares")),
        *((n, ctypes.c_double) for n in ("rate", "beta1", "beta2", "decay", "eps")),
        *((f"table_{n}", ctypes.c_float) for n in ("rate", "decay", "longest", "eps")),
    )
