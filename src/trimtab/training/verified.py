"""The weightings that a verification has retrained for, kept so that a stopped one goes on."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.training.folder import VERIFIED, rows_of, write


class Verified:
    """Finished weightings of a run, a line each in its folder; without a folder none is kept.

    Parameters
    ----------
    asked
        What else of the request a result depends on.
    """

    def __init__(
        self, folder: Path | None, settings: RunSettings, prepared: Prepared, **asked: Any
    ) -> None:
        known = [settings.model_dump(mode="json"), rows_of(prepared), asked]
        self.key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:24]
        self.path = None if folder is None else folder / VERIFIED
        self._lines: list[dict[str, Any]] = []
        if self.path is not None:
            with suppress(OSError, ValueError):
                text = self.path.read_text(encoding="utf-8")
                self._lines = [json.loads(line) for line in text.splitlines()]

    def find(self, shares: Mapping[str, float]) -> dict[str, Any] | None:
        """Return what was kept of a weighting; None where nothing was."""
        for line in self._lines:
            if line.get("key") == self.key and line["found"]["shares"] == shares:
                return line
        return None

    def add(self, found: Mapping[str, Any], steered_seconds: float) -> dict[str, Any]:
        """Keep what was found of a weighting, beside how long the steered model took."""
        line = {"key": self.key, "steered_seconds": steered_seconds, "found": found}
        self._lines.append(line)
        if self.path is not None:
            write(self.path, "".join(json.dumps(one) + "\n" for one in self._lines))
        return line
