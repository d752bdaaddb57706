"""What a trunk and the targets read of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trimtab.features.lookup import Lookup
from trimtab.features.tables import expand, project


class SharedInputs(ABC):
    """The x that every target reads, as it is or through a linear layer."""

    @property
    @abstractmethod
    def dense(self) -> Float[Tensor, "rows width"]:
        """X itself."""

    def project(self, layer: nn.Linear) -> Float[Tensor, "rows out_width"]:
        """Return ``layer(x)``."""
        out: Tensor = layer(self.dense)
        return out


@dataclass(frozen=True)
class Dense(SharedInputs):
    """An x that is there already."""

    x: Float[Tensor, "rows width"]

    @property
    def dense(self) -> Float[Tensor, "rows width"]:
        """X itself."""
        return self.x


@dataclass(frozen=True, kw_only=True)
class Embedded(SharedInputs):
    """Embeddings of the ids side by side, then the numbers: ``x = [e_1 .. e_F, n]``.

    A layer over x is the sum of its parts, ``W x + b = sum_f W_f e_f + W_n n + b``, and ``W_f e_f``
    is the same for all rows with the same id. So ``project`` multiplies each different id of the
    batch once, and adds up a row's parts: with ids as skewed as they are in feeds, a fraction of
    the work and of the memory moved.

    Attributes
    ----------
    distinct
        Embeddings of the different table rows of the batch, in the order of ``lookup.distinct``.
    """

    distinct: Float[Tensor, "distinct width"]
    lookup: Lookup
    numbers: Float[Tensor, "rows numbers"]

    @cached_property
    @torch.compiler.disable  # type: ignore[untyped-decorator]  # Sizes change with every batch.
    def dense(self) -> Float[Tensor, "rows width"]:
        """X itself."""
        rows, width = len(self.numbers), len(self.lookup.counts) * self.distinct.shape[1]
        return torch.cat([expand(self.distinct, self.lookup).view(rows, width), self.numbers], 1)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def project(self, layer: nn.Linear) -> Float[Tensor, "rows out_width"]:
        """Return ``layer(x)``, each different id multiplied once."""
        return project(self.distinct, layer.weight, layer.bias, self.numbers, self.lookup)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a trunk and the targets read.

    Attributes
    ----------
    x
        Embeddings of all features side by side, then the numbers.
    own
        Target to its own embeddings of all features; empty where the run has none.
    first_order
        Target to the sum of its own weights of the row's ids; empty where the run has none.
    scene
        Index of the row's scene.
    """

    x: SharedInputs
    own: Mapping[str, Float[Tensor, "rows fields own_width"]]
    first_order: Mapping[str, Float[Tensor, "rows 1"]]
    scene: Int[Tensor, " rows"]

    @property
    def shared(self) -> Float[Tensor, "rows width"]:
        """X itself; a trunk that begins with a linear layer asks ``x.project`` instead."""
        return self.x.dense
