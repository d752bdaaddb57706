"""Everything learnt from training rows that turns raw rows into columns."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.columns import Columns, Names
from trimtab.data.counts import alone
from trimtab.data.feature import Encoded, FeatureSettings, Learnt
from trimtab.data.labels import LabelColumn, read_labels, read_weights
from trimtab.data.read import require, scan_parquet
from trimtab.data.scenes import Scenes
from trimtab.data.settings import ScenesSettings
from trimtab.data.vocabulary import IdRows, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What was learnt of every feature and of the scenes.

    Attributes
    ----------
    settings
        The features, in the order of the run file.
    learnt
        Feature to what it learnt.
    """

    settings: Mapping[str, FeatureSettings]
    learnt: Mapping[str, Learnt]
    scenes: Scenes

    @classmethod
    def learn(
        cls,
        features: Mapping[str, FeatureSettings],
        scenes: ScenesSettings | None,
        frame: pl.DataFrame,
    ) -> "Statistics":
        """Learn from training rows."""
        columns = {name: raw_column(frame, name, feature) for name, feature in features.items()}
        return cls.of(features, Scenes.learn(scenes, frame), columns, {})

    @classmethod
    def of(
        cls,
        features: Mapping[str, FeatureSettings],
        scenes: Scenes,
        columns: Mapping[str, pl.Series],
        counted: Mapping[str, IdRows],
    ) -> "Statistics":
        """Learn from raw columns, and from vocabularies that were counted before.

        Features that share a vocabulary come after its owner.
        """
        learnt: dict[str, Learnt] = {}
        vocabularies: dict[str, IdRows | None] = dict(counted)
        for name, feature in _owners_first(features):
            shared = vocabularies.get(feature.shares or name)
            learnt[name] = feature.learn(columns[name], shared)
            vocabularies[name] = feature.vocabulary(learnt[name])
        return cls(settings=features, learnt=learnt, scenes=scenes)

    def grown(self, new: "Statistics") -> "Statistics":
        """Return the same with the values that only ``new``, of later rows, has.

        They come after those known, so that each of these keeps its table row; scales, buckets
        and scenes stay what they are.
        """
        learnt: dict[str, Learnt] = {}
        vocabularies: dict[str, IdRows | None] = {}
        for name, feature in _owners_first(self.settings):
            shared = vocabularies.get(feature.shares or "")
            learnt[name] = feature.grow(self.learnt[name], new.learnt[name], shared)
            vocabularies[name] = feature.vocabulary(learnt[name])
        return Statistics(settings=new.settings, learnt=learnt, scenes=self.scenes)

    @property
    def tables(self) -> dict[str, int]:
        """Embedding table to its rows, in the order of the run file."""
        return {
            name: self.learnt[name].rows
            for name, feature in self.settings.items()
            if feature.table(name) == name
        }

    def pieces(self, numbers: Sequence[str]) -> list[int]:
        """Return for each column of numbers the linear pieces it is read in; 0: as it is."""
        cut = {name: learnt.pieces for name, learnt in self.learnt.items()}
        return [cut.get(name, 0) for name in numbers]

    def encode(self, frame: pl.DataFrame) -> dict[str, Encoded]:
        """Encode every feature of raw rows."""
        return {
            name: self.learnt[name].encode(raw_column(frame, name, feature))
            for name, feature in self.settings.items()
        }

    def columns(
        self,
        frame: pl.DataFrame,
        labels: Mapping[str, LabelColumn],
        weights: Mapping[str, str],
        user: str | None,
        age: NDArray[np.float64] | None = None,
    ) -> Columns:
        """Encode raw rows, with their labels and weights (none of either for new rows).

        Parameters
        ----------
        age
            Seconds from each row to the end of the log, which labels with a window ask for.

        Raises
        ------
        DataError
            When a column is missing or holds what its feature or label cannot be.
        """
        arrays: dict[str, NDArray[np.generic]] = {"scene": self.scenes.encode(frame)}
        names: dict[str, tuple[str, ...]] = {"lists": ()}
        encoded = self.encode(frame).values()
        stacks: dict[str, tuple[Mapping[str, NDArray[np.generic]], type]] = {
            "ids": ({k: v for one in encoded for k, v in one.ids.items()}, np.int32),
            "numbers": ({k: v for one in encoded for k, v in one.numbers.items()}, np.float32),
            "labels": (read_labels(frame, labels, age), np.float32),
            "weights": (read_weights(frame, weights), np.float32),
        }
        for kind, (columns, dtype) in stacks.items():
            names[kind] = tuple(columns)
            arrays[kind] = _stack(columns, len(frame), dtype)
        for one in encoded:
            for name, (values, lengths) in one.lists.items():
                i = len(names["lists"])
                names["lists"] += (name,)
                arrays[f"values.{i}"] = values
                arrays[f"offsets.{i}"] = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        arrays["user"] = _groups(frame, user)
        return Columns(names=Names(**names), arrays=arrays)

    def save(self, folder: Path) -> None:
        """Write ``statistics.json`` and one Parquet file a vocabulary.

        Raises
        ------
        OSError
            When the folder cannot be written.
        """
        (folder / "vocabularies").mkdir(parents=True, exist_ok=True)
        state = {
            "scenes": self.scenes.state(),
            "features": {name: learnt.state() for name, learnt in self.learnt.items()},
        }
        (folder / "statistics.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
        for i, (name, feature) in enumerate(self.settings.items()):
            vocabulary = feature.vocabulary(self.learnt[name])
            for end, frame in vocabulary.frames().items() if vocabulary is not None else ():
                # Not straight to the file, where Polars hides that a disk is full.
                file = io.BytesIO()
                frame.write_parquet(file)
                (folder / "vocabularies" / f"{i}{end}.parquet").write_bytes(file.getbuffer())

    @classmethod
    def load(cls, folder: Path, features: Mapping[str, FeatureSettings]) -> "Statistics":
        """Read what ``save`` wrote."""
        state = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
        place = {name: folder / "vocabularies" / f"{i}.parquet" for i, name in enumerate(features)}
        owned: dict[str, IdRows | None] = {
            name: Vocabulary(scan_parquet(path).collect()["value"], _rare(path))
            for name, path in place.items()
            if path.exists()
        }
        learnt = {}
        for name, feature in _owners_first(features):
            known = owned.get(feature.shares or name)
            learnt[name] = feature.restore(state["features"][name], known)
            owned[name] = feature.vocabulary(learnt[name])
        return cls(settings=features, learnt=learnt, scenes=Scenes(**state["scenes"]))


def _rare(path: Path) -> pl.DataFrame | None:
    """Read the values that were too rare, beside the file of a vocabulary."""
    beside = path.with_suffix(".rare.parquet")
    return scan_parquet(beside).collect() if beside.exists() else None


def raw_column(frame: pl.DataFrame, name: str, feature: FeatureSettings) -> pl.Series:
    """Return a feature's raw column, under the feature's name."""
    column = feature.column or name
    where = f"features.{name}" + (".column" if feature.column else "")
    return require(frame, column, where).alias(name)


def _owners_first(
    features: Mapping[str, FeatureSettings],
) -> list[tuple[str, FeatureSettings]]:
    return sorted(features.items(), key=lambda item: item[1].shares is not None)


def _stack(
    columns: Mapping[str, NDArray[np.generic]], rows: int, dtype: type
) -> NDArray[np.generic]:
    out: NDArray[np.generic] = np.empty((rows, len(columns)), dtype=dtype)
    for i, values in enumerate(columns.values()):
        out[:, i] = values
    return out


def _groups(frame: pl.DataFrame, user: str | None) -> NDArray[np.int64]:
    """Return a number a user, below 0 for each row without one; without a column all are apart."""
    if user is None:
        return np.arange(len(frame), dtype=np.int64)
    column = require(frame, user, "data.user")
    column = column.fill_nan(None) if column.dtype.is_float() else column
    return alone(column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy())
