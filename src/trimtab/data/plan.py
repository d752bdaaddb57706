"""Everything that decides what the encoded columns hold."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from trimtab.data.csv import IdColumns
from trimtab.data.feature import FeatureSettings
from trimtab.data.labels import LabelColumn, read_labels, read_weights
from trimtab.data.settings import DataSettings, ScenesSettings
from trimtab.data.statistics import Statistics, raw_column
from trimtab.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an earlier run learnt, which this one takes over and adds to.

    Attributes
    ----------
    key
        The same for the same statistics of the earlier run.
    statistics
        The earlier run's; or, where they are ``complete``, with what this one's rows add.
    """

    key: str
    statistics: Statistics
    complete: bool = False


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Everything that decides what the encoded columns hold."""

    data: DataSettings
    features: Mapping[str, FeatureSettings]
    scenes: ScenesSettings | None
    labels: Mapping[str, LabelColumn]
    weights: Mapping[str, str]
    base: Base | None = None

    def key(self) -> str:
        """Return the plan as text, the same for the same plan."""
        how = {"memory": self.data.memory is not None}  # Not how much: chunks do not tell.
        return json.dumps(
            {
                "data": self.data.model_dump(mode="json") | how,
                "features": {n: f.model_dump(mode="json") for n, f in self.features.items()},
                "scenes": self.scenes and self.scenes.model_dump(mode="json"),
                "labels": {name: vars(label) for name, label in self.labels.items()},
                "weights": dict(self.weights),
                "base": self.base and self.base.key,
            }
        )

    def learnt(self, learn: Callable[[], Statistics]) -> Statistics:
        """Return what ``learn`` learns of the training rows, added to the base if there is one."""
        if self.base is None:
            return learn()
        if self.base.complete:
            return self.base.statistics
        return self.base.statistics.grown(learn())

    def columns(self) -> set[str]:
        """Return the columns of the joined log that anything is read from."""
        data = self.data
        named = {feature.column or name for name, feature in self.features.items()}
        named |= {label.column for label in self.labels.values()} | set(self.weights.values())
        named |= {join.on for join in data.join}
        return named | {column for column, _ in self.columns_of_rows()}

    def columns_of_rows(self) -> list[tuple[str, str]]:
        """Return the columns that say when, where and whose a row is, and who asks for them."""
        data = self.data
        asked = {
            "data.time": data.time,
            "data.valid.column": data.held_out_by,
            "scenes.column": self.scenes and self.scenes.column,
            "data.user": data.user,
        }
        return [(column, where) for where, column in asked.items() if column]

    @property
    def ids(self) -> IdColumns:
        """The columns of the joined log that keep their text: nothing reads a quantity in them."""
        data, kinds = self.data, list(self.features.items())
        read = [(feature.column or name, feature) for name, feature in kinds]
        lists = {column for column, feature in read if feature.longest()}
        single = {column for column, feature in read if feature.named()} - lists
        single |= {join.on for join in data.join}
        single |= {column for column, where in self.columns_of_rows() if where != "data.time"}
        amounts = {column for column, feature in read if not feature.named()}
        amounts |= {label.column for label in self.labels.values()} | set(self.weights.values())
        amounts |= {data.time or ""}
        return IdColumns(frozenset(single - amounts), frozenset(lists - amounts))

    @property
    def waits(self) -> bool:
        """Whether a label is known only some time after its row."""
        return any(label.window is not None for label in self.labels.values())

    def require_known(self, oldest: float) -> None:
        """Refuse a window that all training rows are in; the oldest is so many seconds old."""
        for label in self.labels.values():
            if label.window is not None and oldest < label.window:
                raise DataError(
                    f"{label.where}.window: no training row is that much older than the end of the "
                    f"log; the oldest is {oldest / 86400:.3g} days older. Make the window shorter."
                )

    def check(self, rows: pl.DataFrame) -> None:
        """Raise ``DataError`` for a wrong value of a label, a weight or a feature, by its row."""
        read_labels(rows, self.labels)
        read_weights(rows, self.weights)
        for name, feature in self.features.items():
            feature.check(raw_column(rows, name, feature))
