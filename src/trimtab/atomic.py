"""Files that are either the old one or the new one, never half: written beside, then renamed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import RunError

_LEFT = re.compile(r"\..+\.(safetensors|jsonl?|html)\.\d+")


@contextmanager
def beside(path: Path, advice: str = "") -> Iterator[Path]:
    """Give a place to write to; what is there in the end gets the name ``path``.

    Parameters
    ----------
    advice
        What to do when it fails, after the reason.

    Raises
    ------
    RunError
        When the disk is full or cannot be written; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        why = f"{path}: cannot be written: {error.strerror or error}."
        raise RunError(f"{why} {advice}".strip()) from None
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, text: str, advice: str = "") -> None:
    """Write a file at once: readers see the old one or the new one."""
    with beside(path, advice) as place:
        place.write_text(text, encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove what interrupted writes left: ``.name.process`` beside ``name``."""
    for path in folder.glob(".*"):
        if _LEFT.fullmatch(path.name):
            path.unlink(missing_ok=True)
