"""Small helpers: tables as files, and what decides how a log is encoded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter

from trimtab.data import features
from trimtab.data.labels import LabelColumn
from trimtab.data.prepare import DataPlan
from trimtab.data.settings import DataSettings, ScenesSettings

_WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".parquet": lambda table, path: table.write_parquet(path),
    ".csv": lambda table, path: table.write_csv(path),
    ".arrow": lambda table, path: table.write_ipc(path),
}


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, Any], str]:
    """Return a function that writes a table (or text, or bytes) and returns its path."""

    def write(name: str, content: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            _WRITERS[path.suffix](pl.DataFrame(content), path)
        return str(path)

    return write


@pytest.fixture
def make_plan() -> Callable[..., DataPlan]:
    """Return a function that makes a plan from what a run file holds."""
    adapter = TypeAdapter(dict[str, features.union()])  # type: ignore[misc]

    def make(
        features: Mapping[str, Any],
        labels: Mapping[str, LabelColumn] | None = None,
        weights: Mapping[str, str] | None = None,
        scenes: Mapping[str, Any] | None = None,
        **data: Any,
    ) -> DataPlan:
        return DataPlan(
            data=DataSettings(**data),
            features=adapter.validate_python(features),
            scenes=None if scenes is None else ScenesSettings(**scenes),
            labels=labels or {},
            weights=weights or {},
        )

    return make
