"""The rows of an example, encoded once by Trimtab and written down for every other system."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import trimtab
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.columns import Columns, Names
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.read import read
from trimtab.data.statistics import Statistics
from trimtab.data.vocabulary import FIRST
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.predict import observed_labels
from trimtab.model import RankingModel
from trimtab.training.build import build_model
from trimtab.training.folder import rows_of

SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An example: its run file, and its encoded rows on disk.

    Attributes
    ----------
    path
        Arrays of the rows: ``ids.train`` [rows, ids], ``numbers.train``, ``labels.train`` [rows,
        targets], ``values.train.0`` with ``offsets.train.0`` for each list, the same for ``valid``,
        ``user`` of the valid rows, and ``raw.NAME``, the number behind each table row of an id
        that is one. The last of the ids are the lists' lengths; a number that Trimtab reads in
        pieces is one from 0 to 1.
    facts
        Names and sizes of the columns.
    """

    name: str
    settings: RunSettings
    path: Path
    facts: dict[str, Any]


def run_file(name: str) -> RunSettings:
    """Read an example's run file."""
    return trimtab.load_settings(EXAMPLES / name / "run.toml")


def load(name: str, folder: Path, *, rows: int | None) -> Dataset:
    """Read an example's run file and write its encoded rows, unless they are there.

    ``rows`` takes that many rows of the log, evenly spread, for a quick look.
    """
    settings = run_file(name)
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        settings = _cut(settings, rows, folder)
    prepared = prepare(settings.plan())
    fingerprints = rows_of(prepared)
    marks = "-".join(mark.split()[-1] for mark in fingerprints.values())
    path = folder / f"{name}-{marks}.npz"
    facts = path.with_suffix(".json")
    if not facts.exists():
        model = build_model(settings, prepared.statistics, prepared.train.names)
        _replace(path, lambda file: np.savez(file, **_arrays(settings, prepared, model)))
        text = json.dumps(_facts(settings, prepared, model) | {"rows": fingerprints}, indent=1)
        _replace(facts, lambda file: file.write(text.encode()))
    return Dataset(
        name=name, settings=settings, path=path, facts=json.loads(facts.read_text("utf-8"))
    )


def _cut(settings: RunSettings, rows: int, folder: Path) -> RunSettings:
    """Return the settings with a log, and a valid file where there is one, of fewer rows."""
    content = settings.model_dump(mode="json")
    content["data"]["log"] = _fewer(content["data"]["log"], rows, folder)
    if "file" in content["data"]["valid"]:
        content["data"]["valid"]["file"] = _fewer(
            content["data"]["valid"]["file"], rows // 4, folder
        )
    return parse(content)


def _fewer(source: str, rows: int, folder: Path) -> str:
    frame = read(source)
    path = folder / f"{Path(source).stem}-{rows}.parquet"
    if not path.exists():
        some = frame.gather_every(max(1, len(frame) // rows)).head(rows)
        _replace(path, some.write_parquet)
    return str(path)


def _replace(path: Path, write: Any) -> None:
    """Write beside, then rename: another process may want the same file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        write(file)
    os.replace(temporary, path)


def _arrays(settings: RunSettings, prepared: Prepared, model: RankingModel) -> dict[str, Any]:
    """Return every array; labels are those that Trimtab's own evaluation compares with."""
    labels = {
        "train": observed_labels(model, prepared.train),
        "valid": Evaluation(model, prepared.valid).labels,
    }
    arrays: dict[str, Any] = {"user": prepared.valid.arrays["user"]}
    for part, columns in (("train", prepared.train), ("valid", prepared.valid)):
        arrays |= _columns(settings, part, columns)
        buckets = np.maximum(prepared.statistics.pieces(columns.names.numbers), 1)
        arrays[f"numbers.{part}"] = (columns.arrays["numbers"] / buckets).astype(np.float32)
        arrays[f"labels.{part}"] = _stacked(settings.targets, labels[part])
    names = prepared.train.names
    raw = dict(_raw(prepared.statistics, names.ids))
    raw |= {length: np.arange(rows, dtype=np.float32) for length, rows in _lengths(settings, names)}
    return arrays | {f"raw.{name}": values for name, values in raw.items()}


def _columns(settings: RunSettings, part: str, columns: Columns) -> dict[str, Any]:
    arrays = {f"{kind}.{part}": columns.arrays[kind] for kind in ("ids", "numbers")}
    for i, (_, rows) in enumerate(_lengths(settings, columns.names)):
        offsets = columns.arrays[f"offsets.{i}"]
        length = np.minimum(np.diff(offsets), rows - 1)[:, None].astype(np.int32)
        arrays[f"ids.{part}"] = np.hstack([arrays[f"ids.{part}"], length])
        arrays[f"values.{part}.{i}"] = columns.arrays[f"values.{i}"]
        arrays[f"offsets.{part}.{i}"] = offsets
    return arrays


def _lengths(settings: RunSettings, names: Names) -> list[tuple[str, int]]:
    """Return name and table rows of each list's length, an id in Trimtab's own encoder too."""
    return [(f"{name}_length", settings.features[name].longest() + 1) for name in names.lists]


def _stacked(targets: Iterable[str], labels: Mapping[str, Any]) -> Any:
    stacked = np.stack([labels[target] for target in targets], axis=1)
    if np.isnan(stacked).any():
        raise SystemExit(
            "a label is missing in some rows, which the other systems cannot leave out"
        )
    return stacked


def _raw(statistics: Statistics, ids: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Yield the number behind each table row, NaN for none: trees read ages, not their ids."""
    for name in ids:
        feature = statistics.settings[name]
        vocabulary = feature.vocabulary(statistics.learnt[name])
        if vocabulary is None:  # buckets of a quantity, in its order; row 0 is a missing value
            buckets = np.arange(statistics.learnt[name].rows, dtype=np.float32)
            buckets[0] = np.nan
            yield name, buckets
        elif vocabulary.values.dtype == pl.Int64:
            numbers = vocabulary.values.cast(pl.Float32).to_numpy()
            yield name, np.concatenate([np.full(FIRST, np.nan, np.float32), numbers])


def _facts(settings: RunSettings, prepared: Prepared, model: RankingModel) -> dict[str, Any]:
    names, tables = prepared.train.names, prepared.statistics.tables

    def described(features: Iterable[str]) -> list[dict[str, Any]]:
        owners = {name: settings.features[name].table(name) or name for name in features}
        return [
            {"name": name, "table": table, "rows": tables[table]} for name, table in owners.items()
        ]

    return {
        "ids": described(names.ids)
        + [{"name": n, "table": n, "rows": rows} for n, rows in _lengths(settings, names)],
        "lists": described(names.lists),
        "numbers": list(names.numbers),
        "targets": [
            {
                "name": name,
                "measure": target.measure,
                "seconds": SECONDS[getattr(settings.targets[name], "unit", "s")],
            }
            for name, target in model.targets.items()
        ],
        "train_rows": len(prepared.train),
        "valid_rows": len(prepared.valid),
    }
