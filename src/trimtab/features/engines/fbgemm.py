"""The engine ``fbgemm``: tables kept and updated by FBGEMM's table-batched embeddings (TBE).

TBE's own autograd updates the tables in the backward, so two backwards update twice. Here its
operators are called directly: the gradient is collected as with every engine, and a step of the
optimiser is one update.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trimtab.errors import SettingsError
from trimtab.features.engines.base import Engine, EngineSettings, engines
from trimtab.features.engines.pytorch import PyTorch, SortedLookup
from trimtab.features.lookup import Lookup
from trimtab.features.row_wise_adagrad import shortened
from trimtab.features.tables import Tables

_PRECISIONS = {"float32": torch.float32, "fp16": torch.float16}
_POOLING_SUM, _FLOAT32, _NEAREST = 0, 0, False
"""What TBE is told: how bags are pooled, the dtype of what is looked up, and no random rounding."""


class _Adagrad(NamedTuple):
    """A form of Adagrad: TBE's name for it, and whether each block is a table of TBE's."""

    name: str
    apart: bool


_ADAGRAD = {
    "row_wise_adagrad": _Adagrad("rowwise_adagrad", apart=True),
    "adagrad": _Adagrad("adagrad", apart=False),
}


@engines.register("fbgemm")
class FbgemmSettings(EngineSettings):
    """FBGEMM's table-batched embeddings on the processor (an optional package)."""

    kind: Literal["fbgemm"] = "fbgemm"
    optimizer: Literal["row_wise_adagrad", "adagrad"] = "row_wise_adagrad"
    """One step size a row and block, as the other engines have; or one a weight."""
    precision: Literal["float32", "fp16"] = "float32"
    """Of the tables; ``fp16`` halves their memory, and rounds each updated weight to 11 bits."""

    def build(self, device: torch.device) -> "Fbgemm":
        """Build the engine."""
        try:
            import_module("fbgemm_gpu")
        except (ImportError, OSError) as error:  # An OSError where it was built for another torch.
            why = str(error).partition("\n")[0]
            raise SettingsError(
                f"embedding.engine: kind 'fbgemm' needs a package that is not installed, or does "
                f"not fit this PyTorch ({why}). Install it with: pip "
                "install 'trimtab[fbgemm]'; without it, engine = 'native' or 'torch' trains."
            ) from None
        return Fbgemm(self.optimizer, _PRECISIONS[self.precision])

    def serve(self, device: torch.device) -> PyTorch:
        """Build plain PyTorch: files hold the rows as every engine does, in float32."""
        return PyTorch()


class Fbgemm(Engine):
    """Each block of the rows a table of TBE's; different rows found by one sort."""

    def __init__(self, optimizer: str, dtype: torch.dtype) -> None:
        self.form, self.dtype = _ADAGRAD[optimizer], dtype

    def tables(
        self, tables: Mapping[str, int], blocks: Mapping[str, int], deviation: float
    ) -> "FbgemmTables":
        """Build the tables."""
        return FbgemmTables(tables, blocks, deviation, form=self.form, dtype=self.dtype)

    def lookup(
        self, rows: Int[Tensor, " total"], columns: Int[Tensor, " columns"] | None
    ) -> SortedLookup:
        """Sort the rows."""
        return SortedLookup.of(rows, columns)

    def optimizer(
        self,
        tables: Tables,
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        longest: float | None = None,
    ) -> "FbgemmAdagrad":
        """Build Adagrad by TBE's update."""
        own = cast(FbgemmTables, tables)
        return FbgemmAdagrad(own, lr=learning_rate, weight_decay=weight_decay, longest=longest)


class FbgemmTables(Tables):
    """Tables in TBE's memory: one flat array, a block after the other where they are apart.

    ``weight`` only takes gradients and holds no rows; those are written to files in the layout
    that the other engines have.
    """

    memory: Tensor
    in_weight = False

    def __init__(
        self,
        tables: Mapping[str, int],
        blocks: Mapping[str, int],
        deviation: float,
        *,
        form: _Adagrad,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(tables, blocks, deviation)
        self.form = form
        self.weight = nn.Parameter(torch.tensor(torch.nan).expand(self.rows, self.width))
        memory = torch.empty(self.rows * self.width, dtype=dtype)
        self.register_buffer("memory", memory, persistent=False)
        self.widths = list(blocks.values()) if form.apart else [self.width]
        self.edges = torch.tensor([0, *self.widths]).cumsum(0)
        self.starts = torch.arange(len(self.edges)) * self.rows

    def read(self) -> Float[Tensor, "rows width"]:
        """Return a copy of every row."""
        parts = [part for _, part in self._parts()]
        return torch.cat([self.memory.new_empty(self.rows, 0), *parts], 1)

    def write(self, rows: slice, columns: slice, values: Float[Tensor, "some columns"]) -> None:
        """Set some columns of some rows."""
        first, end, _ = columns.indices(self.width)
        for start, part in self._parts():
            low, high = max(first, start), min(end, start + part.shape[1])
            if low < high:
                part[rows, low - start : high - start] = values[:, low - first : high - first]

    def gather(self, lookup: Lookup) -> Float[Tensor, "distinct width"]:
        """Look the rows up, in float32."""
        return self.look_up(lookup.distinct.long())

    def look_up(self, rows: Int[Tensor, " some"]) -> Float[Tensor, "some width"]:
        """Look rows up, each as a bag of one."""
        bags = self._bags(rows)
        if not bags[0].numel():
            return torch.zeros(len(rows), self.width)
        found: Tensor = torch.ops.fbgemm.split_embedding_codegen_forward_cpu(
            self.memory,
            self.edges[:-1] * self.rows,
            self.edges.int(),
            self.width,
            self.starts,
            *bags,
            _POOLING_SUM,
            None,
            _FLOAT32,
        )
        return found

    def update(
        self,
        rows: Int[Tensor, " some"],
        gradient: Float[Tensor, "some width"],
        squares: Float[Tensor, " numbers"],
        group: Mapping[str, Any],
    ) -> None:
        """Update different rows, and their sums of squares, in place."""
        bags = self._bags(rows)
        if not bags[0].numel():
            return
        placements = torch.zeros(len(self.widths), dtype=torch.int32)
        step = getattr(torch.ops.fbgemm, f"split_embedding_backward_codegen_{self.form.name}_cpu")
        step(
            gradient.contiguous(),
            self.memory,
            placements,
            self.edges[:-1] * self.rows,
            self.edges.int(),
            max(self.widths),
            self.starts,
            int(self.starts[-1]).bit_length(),
            *bags,
            _POOLING_SUM,
            None,
            _NEAREST,
            squares,
            placements,
            self.starts[:-1],
            torch.tensor(group["lr"]),
            group["eps"],
        )

    def _bags(self, rows: Int[Tensor, " some"]) -> tuple[Tensor, Tensor]:
        """Return the rows of each of TBE's tables, and where each bag starts and the last ends.

        Rows that are not there are refused: TBE takes row 0, or reads beyond its memory.
        """
        if self.memory.device.type != "cpu" or self.memory.dtype not in _PRECISIONS.values():
            raise SettingsError(
                f"embedding.engine: 'fbgemm' keeps float32 or fp16 on the processor; found "
                f"{self.memory.dtype} on {self.memory.device}. engine = 'torch' computes anywhere."
            )
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self.rows:
            raise IndexError(
                f"table rows {int(rows.min())} to {int(rows.max())} are wanted of {self.rows:,}."
            )
        indices = rows.repeat(len(self.widths) if self.width else 0)
        return indices, torch.arange(len(indices) + 1)

    def _parts(self) -> Iterator[tuple[int, Tensor]]:
        """Return the first column of each of TBE's tables, and its rows."""
        flat = self.memory.split([self.rows * width for width in self.widths])
        for first, width, part in zip(self.edges.tolist(), self.widths, flat, strict=False):
            yield first, part.view(self.rows, width)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        destination[f"{prefix}weight"] = self.read()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        _, _, missing, _, wrong = args
        saved = state_dict.get(f"{prefix}weight")
        if saved is None:
            missing.append(f"{prefix}weight")
        elif saved.shape != self.weight.shape:
            wrong.append(f"{prefix}weight: {tuple(saved.shape)} is not {tuple(self.weight.shape)}")
        else:
            self.write(slice(None), slice(None), saved)


class FbgemmAdagrad(torch.optim.Optimizer):
    """Adagrad by TBE: as ``RowWiseAdagrad``, or with one step size a weight.

    The state ``sum`` has a number for each row and block, or for each weight.
    """

    def __init__(self, tables: FbgemmTables, **scalars: float | None) -> None:
        super().__init__([tables.weight], {"eps": 1e-8, **scalars})
        self.tables = tables
        numbers = len(tables.blocks) if tables.form.apart else tables.width
        self.state[tables.weight]["sum"] = torch.zeros(tables.rows, numbers)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the rows that have a gradient, once, however many backwards made it."""
        tables, (group,) = self.tables, self.param_groups
        weight, apart = tables.weight, tables.form.apart
        if weight.grad is None:
            return
        touched = weight.grad.coalesce()
        rows, gradient = touched.indices()[0], shortened(touched.values(), group["longest"])
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * tables.look_up(rows)
        # TBE wants a block's sums together; a transposed view shows them as the others have them.
        sums = self.state[weight]["sum"]
        flat = (sums.t() if apart else sums).contiguous()
        tables.update(rows, gradient, flat.view(-1), group)
        self.state[weight]["sum"] = flat.t() if apart else flat
