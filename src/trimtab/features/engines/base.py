"""What every embedding engine is: how table rows are kept, found and updated."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from trimtab.features.lookup import Lookup
from trimtab.features.row_wise_adagrad import RowWiseAdagrad, Step, step_in_passes
from trimtab.features.tables import ArrayTables, Tables
from trimtab.registry import Registry
from trimtab.settings import Settings


class Engine(ABC):
    """Keeps the tables, finds the different rows of a batch, and updates them.

    A step asks for one lookup, one gather (``Tables.distinct``) and one update (the optimiser's
    ``step``). Everything above is blind to the engine: an engine of several processes, each of
    which owns a share of the rows, needs nothing else.

    Attributes
    ----------
    compiles
        Whether it is compiled C++ for this processor; layers, losses and Adam are then too.
    """

    compiles: bool = False

    @abstractmethod
    def tables(
        self, tables: Mapping[str, int], blocks: Mapping[str, int], deviation: float
    ) -> Tables:
        """Build the tables: table name to its rows, block name to its width."""

    @abstractmethod
    def lookup(
        self, rows: Int[Tensor, " total"], columns: Int[Tensor, " columns"] | None
    ) -> Lookup:
        """Find the different rows.

        Parameters
        ----------
        rows
            Table rows, in the order in which they are wanted; int32.
        columns
            First table row of each column, rising, where ``rows`` is ``[rows, columns]`` flattened
            and each column has a table of its own.
        """

    @abstractmethod
    def optimizer(
        self,
        tables: Tables,
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        longest: float | None = None,
    ) -> torch.optim.Optimizer:
        """Build what updates the touched rows of tables that this engine built.

        Parameters
        ----------
        longest
            Longest gradient of a row; longer ones are shortened.
        """


class ArrayEngine(Engine):
    """An engine whose tables are one array, updated by row-wise Adagrad."""

    step: Step = staticmethod(step_in_passes)
    """Updates the rows that a batch touched."""

    def tables(
        self, tables: Mapping[str, int], blocks: Mapping[str, int], deviation: float
    ) -> Tables:
        """Build the array."""
        return ArrayTables(tables, blocks, deviation)

    def optimizer(
        self,
        tables: Tables,
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        longest: float | None = None,
    ) -> torch.optim.Optimizer:
        """Build row-wise Adagrad."""
        return RowWiseAdagrad(
            [tables.weight],
            blocks=list(tables.blocks.values()),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            longest=longest,
            step=self.step,
        )


class EngineSettings(Settings, ABC):
    """The settings of one engine, as written under ``embedding.engine``."""

    kind: str

    @abstractmethod
    def build(self, device: torch.device) -> Engine:
        """Build the engine for tables that will be on ``device``.

        Raises
        ------
        SettingsError
            When the engine does not compute there, or a package or a compiler is missing.
        """

    @abstractmethod
    def serve(self, device: torch.device) -> ArrayEngine:
        """Build what a trained model predicts with, on any machine.

        Where the machine has the engine that it was trained with, predictions are those of
        training to the last bit; else to rounding.
        """


engines: Registry[EngineSettings] = Registry("engines")
