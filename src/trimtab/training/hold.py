"""One training at a time in a run's folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trimtab.errors import InputError
from trimtab.training.folder import ANOTHER, make, refuse_no_folder, refuse_taken


@contextmanager
def claimed(folder: Path | None, *, resume: bool, add: bool) -> Iterator[None]:
    """Hold the folder that a run starts, or goes on, in; ``InputError`` where it cannot.

    Parameters
    ----------
    folder
        None for one that nobody else knows of.
    resume, add
        As ``refuse_taken`` reads them.
    """
    if folder is None:
        yield
        return
    refuse_no_folder(folder)
    with held(folder):
        refuse_taken(folder, resume=resume, add=add)
        yield


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made where it is not there, until the block ends or the process dies.

    The folder itself is locked, so nothing is left in it; what was made and is empty in the end is
    removed. On a disk that knows no locks the block runs all the same.

    Raises
    ------
    InputError
        When another process holds it.
    RunError
        When it cannot be made.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    make(folder)
    place = os.open(folder, os.O_RDONLY)
    try:
        if not _locked(place, folder):
            raise InputError(
                f"{folder}: another training is writing here; let it end, or choose {ANOTHER}."
            )
        yield
    finally:
        for empty in made:
            with suppress(OSError):
                empty.rmdir()
        os.close(place)


def _locked(place: int, folder: Path) -> bool:
    """Lock an open folder; say whether it is ours, and still the one of that name."""
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(place), folder.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        return True
