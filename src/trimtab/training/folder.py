"""A run's folder: its files, who may write to it, and how it is left when a run fails."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from trimtab import atomic
from trimtab.calibration import Calibration
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared
from trimtab.data.statistics import Statistics
from trimtab.errors import InputError, RunError
from trimtab.evaluation.outcomes import belongs
from trimtab.model import RankingModel
from trimtab.steering.profiles import FILE as PROFILES
from trimtab.training import checkpoint
from trimtab.training.front import FRONT
from trimtab.training.state import State

MODEL, LAST = "model.safetensors", "last.safetensors"
SETTINGS, METRICS, CURVES = "settings.json", "metrics.json", "log.jsonl"
CALIBRATION, REPORT = "calibration.json", "report.html"
LEFT = {MODEL, FRONT, LAST, SETTINGS, METRICS, CURVES, CALIBRATION, REPORT}
SEESAW, SEESAW_FOUND, SEESAW_PAGE = "seesaw", "seesaw.json", "seesaw.html"
IMPORTANCE, PAGE = "importance.json", "steering.html"
LEFT |= {IMPORTANCE, PROFILES, PAGE, "statistics.json", "vocabularies"}
LEFT |= {SEESAW, SEESAW_FOUND, SEESAW_PAGE}
START, TABLES = "start.json", "start.safetensors"
VERIFIED = "verify.jsonl"
LEFT |= {START, TABLES, VERIFIED}
"""Everything that a run leaves in its folder."""
ANOTHER = "another folder (--out, out=)"
"""What to choose where a folder will not do, on the command line and in Python."""

_MAY_CHANGE = {
    "choose",
    "epochs",
    "learning_rate",
    "max_gradient_norm",
    "patience",
    "table_learning_rate",
    "threads",
}
"""Settings of the loop that a run may go on with other values of."""

DAMAGE = (
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AssertionError,
    RuntimeError,
    pl.exceptions.PolarsError,
)
"""What reading raises where a run's files are broken, or are not of one run."""


def place_of(path: str | Path) -> Path:
    """Return a path with the user's home for ``~``; ``InputError`` where nobody has that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: expected a folder; this is none: {error}") from None


def refuse_no_folder(folder: Path) -> None:
    """Raise ``InputError`` for what is no folder, and cannot become one."""
    try:
        folder.exists()
    except OSError as error:  # A name that is too long, or a folder that may not be read.
        raise InputError(f"{folder}: {error.strerror}; choose {ANOTHER}.") from None
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place}: a file; choose {ANOTHER}.")


def refuse_taken(folder: Path, *, resume: bool, add: bool = False) -> None:
    """Raise ``InputError`` for a folder that a run cannot start, or go on, in.

    Parameters
    ----------
    add
        Whether other files may be in it.
    """
    refuse_no_folder(folder)
    if (folder / MODEL).exists() and not (folder / LAST).exists():
        raise InputError(
            f"{folder}: holds a finished run without its {LAST}, which cannot go on; choose "
            f"{ANOTHER}, or remove the folder to train anew."
        )
    if add:
        return
    files = [path.name for path in folder.glob("*") if not path.name.startswith(".")]
    if files and not resume:
        raise InputError(
            f"{folder}: not empty; choose {ANOTHER}, or go on with --resume (resume=True)."
        )
    if files and not {SETTINGS, START} & {*files}:
        raise InputError(f"{folder}: holds other files and no run; choose {ANOTHER}.")


def saved_settings(folder: Path) -> RunSettings:
    """Read the settings of the run in a folder."""
    path = folder / SETTINGS
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")), where=str(path))
    except OSError:
        raise InputError(f"{folder}: no run; it has no {SETTINGS}.") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON; was it edited, or cut short?") from None


def saved_calibration(folder: Path, settings: RunSettings, model: RankingModel) -> Calibration:
    """Read the maps of a run; raise what ``DAMAGE`` names where they are not those of its model."""
    path = folder / CALIBRATION
    if not settings.calibration.fits and not path.exists():
        return Calibration({}, {}, [])
    calibration = Calibration.parse(path.read_text(encoding="utf-8"))
    if not belongs(calibration, model):
        raise ValueError("The maps are of other predictions or scenes.")
    return calibration


def refuse_other_settings(folder: Path, settings: RunSettings) -> None:
    """Raise ``InputError`` where a run cannot go on with these settings."""
    found = differences(_fixed(saved_settings(folder)), _fixed(settings))
    told = ", ".join(islice(found, 3))
    if told:
        raise InputError(f"{folder}: was trained with other settings: {told}. Choose {ANOTHER}.")


def go_on(folder: Path, settings: RunSettings, prepared: Prepared, state: State) -> None:
    """Restore the state from the last checkpoint."""
    refuse_other_settings(folder, settings)
    tensors, facts = checkpoint.load(folder / LAST)
    if facts.get("rows") != rows_of(prepared):
        raise InputError(f"{folder}: was trained on other rows; choose {ANOTHER}.")
    try:
        state.restore(tensors, facts)
    except DAMAGE:
        raise RunError(f"{folder}: damaged, or not of one run; choose {ANOTHER}.") from None
    write(folder / SETTINGS, settings.model_dump_json(indent=1))


def rows_of(prepared: Prepared) -> dict[str, str]:
    """Return what tells these encoded rows from any others."""
    return {"train": prepared.train.fingerprint, "valid": prepared.valid.fingerprint}


def make(folder: Path) -> None:
    """Make the folder where it is not there."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)


def start(folder: Path, settings: RunSettings, statistics: Statistics) -> None:
    """Write what is known before training."""
    with _told(folder):
        write(folder / SETTINGS, settings.model_dump_json(indent=1))
        statistics.save(folder)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say which folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}.") from None


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Take back what was written when the block ends badly before the first checkpoint.

    A run that was in the folder before is left: it may be all that knows what it started from.
    """
    known = any((folder / name).exists() for name in (SETTINGS, START, LAST))
    try:
        yield
    except BaseException:
        if not known and not (folder / LAST).exists():
            for name in ("vocabularies", FRONT):
                shutil.rmtree(folder / name, ignore_errors=True)
            with suppress(OSError):
                for name in (SETTINGS, "statistics.json", START, TABLES):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
        raise


def _fixed(settings: RunSettings) -> dict[str, Any]:
    """Return what a run cannot go on with other values of; the rest is of the end."""
    return settings.model_dump(
        mode="json", exclude={"training": _MAY_CHANGE, "calibration": True, "report": True}
    )


def differences(saved: Any, now: Any, key: str = "") -> Iterator[str]:
    """Yield in words where two settings differ."""
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*saved, *now]):
            inside = f"{key}.{name}" if key else name
            yield from differences(saved.get(name), now.get(name), inside)
    elif saved != now:
        yield f"{key} was {json.dumps(saved)} and is {json.dumps(now)}"


def write(path: Path, text: str) -> None:
    """Write one of a run's files at once.

    Raises
    ------
    RunError
        When the disk is full or cannot be written; the old file is as it was.
    """
    atomic.write(path, text, "Make room, and go on with --resume (resume=True).")
