"""Which table rows a batch wants, and how equal ones are put in place and added up."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear


@dataclass(frozen=True, slots=True)
class Bags:
    """Runs of wanted rows that are added up, each times its weight; a run may be empty.

    Attributes
    ----------
    starts
        First wanted row of each bag.
    of
        The bag of each wanted row, rising.
    weights
        Of each wanted row.
    """

    starts: Int[Tensor, " bags"]
    of: Int[Tensor, " total"]
    weights: Float[Tensor, " total"]


class Lookup(ABC):
    """Table rows to gather, each different one once; one search a step serves every table.

    Attributes
    ----------
    distinct
        The different rows that are wanted.
    total
        How many rows are wanted, equal ones counted again.
    counts
        How many of the distinct rows are each column's, where each column of the wanted rows has a
        table of its own: theirs lie together, in the order of the columns. Else all of them.
    """

    distinct: Int[Tensor, " distinct"]
    total: int
    counts: tuple[int, ...]

    @abstractmethod
    def gather(self, table: Float[Tensor, "rows width"]) -> Float[Tensor, "distinct width"]:
        """Return the distinct rows of a table."""

    @abstractmethod
    def spread(self, distinct: Float[Tensor, "distinct width"]) -> Float[Tensor, "total width"]:
        """Put distinct rows where they are wanted."""

    @abstractmethod
    def collect(self, gradient: Float[Tensor, "total width"]) -> Float[Tensor, "distinct width"]:
        """Add up what is wanted of each distinct row."""

    @abstractmethod
    def pool(
        self, distinct: Float[Tensor, "distinct width"], bags: Bags
    ) -> Float[Tensor, "bags width"]:
        """Add up the wanted rows of each bag, none of them put in place first."""

    @abstractmethod
    def pool_back(
        self, gradient: Float[Tensor, "bags width"], bags: Bags
    ) -> Float[Tensor, "distinct width"]:
        """Return the gradient of ``distinct`` in ``pool``."""

    def linear(
        self,
        x: Float[Tensor, "rows in_width"],
        weight: Float[Tensor, "out_width in_width"],
        bias: Float[Tensor, " out_width"],
    ) -> Float[Tensor, "rows out_width"]:
        """Return ``x @ weight.T + bias``, for what is beside the ids; no gradient follows."""
        return linear(x, weight, bias)

    def linear_back(
        self, x: Float[Tensor, "rows in_width"], gradient: Float[Tensor, "rows out_width"]
    ) -> tuple[Float[Tensor, "out_width in_width"], Float[Tensor, " out_width"]]:
        """Return the gradients of weight and bias in ``linear``."""
        return gradient.t() @ x, gradient.sum(0)

    @abstractmethod
    def project(
        self,
        distinct: Float[Tensor, "distinct width"],
        weight: Float[Tensor, "out_width in_width"],
        start: Float[Tensor, "rows out_width"],
    ) -> Float[Tensor, "rows out_width"]:
        """Return ``start + [e_1 .. e_F] @ weight.T``, each distinct row multiplied once.

        Parameters
        ----------
        start
            Where it lies the output may lie afterwards.
        """

    @abstractmethod
    def project_back(
        self,
        distinct: Float[Tensor, "distinct width"],
        weight: Float[Tensor, "out_width in_width"],
        gradient: Float[Tensor, "rows out_width"],
    ) -> tuple[Float[Tensor, "distinct width"], Float[Tensor, "out_width in_width"]]:
        """Return the gradients of ``distinct`` and ``weight`` in ``project``."""
