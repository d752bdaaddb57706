"""Encoded logs on disk, so that a second run starts at once; the least recently used ones go."""

import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trimtab.data.columns import Columns, Names
from trimtab.data.settings import bytes_of
from trimtab.errors import SettingsError

VERSION = 4
"""Raised whenever encoded columns change their meaning."""

MANIFEST = "manifest.json"
LIMIT, MOST = "TRIMTAB_CACHE_LIMIT", 10 * 10**9
"""Environment variable with the size of all caches together, and its default in bytes."""
JUST_USED, LEFT = 60.0, 86_400.0
"""Seconds for which a cache is kept after its use, and after which an unfinished one goes."""

_UNFINISHED, _GOING = ".writing-", ".going-"


def folder() -> Path:
    """Return where caches live: ``$TRIMTAB_CACHE``, else the user's cache folder."""
    root = os.environ.get("TRIMTAB_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "trimtab"


def limit() -> int:
    """Return the bytes that all caches together may take; ``SettingsError`` for a wrong size."""
    text = os.environ.get(LIMIT)
    try:
        return bytes_of(text) if text else MOST
    except ValueError as error:
        raise SettingsError(f"{LIMIT}: {error}.") from None


def key(settings: str, files: Iterable[Path]) -> str:
    """Return the name of the cache for these settings and the files as they are now."""
    digest = hashlib.sha256(f"{VERSION}\n{settings}".encode())
    for path in files:
        status = path.stat()
        digest.update(f"\n{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


@contextmanager
def writing(place: Path) -> Iterator[Path]:
    """Yield a new folder, which is sealed and takes the name ``place`` when the block ends well."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=place.parent))
    try:
        yield temporary
        seal(temporary)
        _publish(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def used(place: Path) -> None:
    """Note that a cache is in use now."""
    with suppress(OSError):  # Read-only: somebody else looks after it.
        os.utime(place)


def shrink(most: int, keep: Path) -> None:
    """Drop the least recently used caches until all take ``most`` bytes or less.

    A cache goes at once or not at all, and what another process has mapped into memory stays
    readable to it; ``keep`` and those used a moment ago stay. What killed runs left unfinished
    goes too, after a day.
    """
    now, sealed = time.time(), []
    for entry in map(_Entry.of, _folders(keep.parent)):
        if not entry.place.name.startswith((_UNFINISHED, _GOING)):
            sealed.append(entry)
        elif now - entry.used > LEFT:
            _drop(entry.place)
    taken = sum(entry.size for entry in sealed)
    for entry in sorted(sealed, key=lambda one: one.used):
        if taken > most and entry.place != keep and now - entry.used > JUST_USED:
            _drop(entry.place)
            taken -= entry.size


def seal(place: Path) -> None:
    """Write the manifest: size and checksum of every file under ``place``."""
    (place / MANIFEST).write_text(json.dumps(_contents(place)), encoding="utf-8")


def intact(place: Path) -> bool:
    """Say whether every file is as it was when ``place`` was sealed, and no file has come in."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest == _contents(place))
    except (OSError, ValueError):
        return False


def write(columns: Columns, place: Path) -> None:
    """Write columns as one ``.npy`` file an array, and their names."""
    with Growing(place) as grown:
        grown.add(columns)


class Growing:
    """Columns on disk that grow chunk by chunk, as ``write`` would write them at once."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place = place
        self._names: Names | None = None
        self._files: dict[str, BinaryIO] = {}
        self._headers: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Growing":
        return self

    def __exit__(self, *_: object) -> None:
        """Write how many rows there are, and the names of the columns."""
        for name, file in self._files.items():
            with file:
                self._write_header(name)
        names = asdict(self._names) if self._names else {}
        (self.place / "names.json").write_text(json.dumps(names), encoding="utf-8")

    def add(self, columns: Columns) -> None:
        """Put rows behind those that are there."""
        self._names = columns.names
        values = {name: self._rows(name.replace("offsets", "values")) for name in columns.arrays}
        for name, array in columns.arrays.items():
            if name.startswith("offsets.") and name in self._files:
                array = array[1:] + values[name]
            self._append(name, np.ascontiguousarray(array))

    def _rows(self, name: str) -> int:
        return int(self._headers[name]["shape"][0]) if name in self._headers else 0

    def _append(self, name: str, array: NDArray[np.generic]) -> None:
        if name not in self._files:
            self._files[name] = (self.place / f"{name}.npy").open("wb")
            self._headers[name] = np.lib.format.header_data_from_array_1_0(array[:0])
            self._write_header(name)
        shape = self._headers[name]["shape"]
        self._headers[name]["shape"] = (shape[0] + len(array), *shape[1:])
        array.tofile(self._files[name])

    def _write_header(self, name: str) -> None:
        """Write the header, which has room for any count of rows, at the start of the file."""
        self._files[name].seek(0)
        np.lib.format.write_array_header_1_0(self._files[name], self._headers[name])


def read(place: Path) -> Columns:
    """Map what ``write`` left into memory."""
    names = json.loads((place / "names.json").read_text(encoding="utf-8"))
    arrays = [path for path in place.iterdir() if path.suffix == ".npy"]
    return Columns(
        names=Names(**{kind: tuple(columns) for kind, columns in names.items()}),
        arrays={path.stem: np.load(path, mmap_mode="r") for path in arrays},
    )


@dataclass(frozen=True)
class _Entry:
    """A cache on disk: its size in bytes, and when it was last used or written."""

    place: Path
    size: int
    used: float

    @classmethod
    def of(cls, place: Path) -> "_Entry":
        """Look at a folder, which another process may be about to change."""
        size, used = 0, 0.0
        for path in (place, *place.rglob("*")):
            with suppress(OSError):
                status = path.stat()
                size, used = size + status.st_size, max(used, status.st_mtime)
        return cls(place, size, used)


def _folders(root: Path) -> list[Path]:
    """Return the folders of caches, finished or not; beside them lie compiled engines."""
    try:
        folders = [path for path in root.iterdir() if path.is_dir()]
    except OSError:
        return []
    hidden = [path for path in folders if path.name.startswith((_UNFINISHED, _GOING))]
    return hidden + [path for path in folders if (path / MANIFEST).exists() and path not in hidden]


def _drop(place: Path) -> None:
    """Remove a folder; first its name, so that nobody reads half of it."""
    with suppress(OSError):
        going = Path(tempfile.mkdtemp(prefix=_GOING, dir=place.parent))
        place.rename(going / place.name)
        shutil.rmtree(going, ignore_errors=True)


def _publish(temporary: Path, place: Path) -> None:
    """Give a sealed folder its name, unless another run was first; a broken one gives way."""
    if not intact(place):
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):
            temporary.rename(place)


def _contents(place: Path) -> dict[str, list[int]]:
    return {
        path.relative_to(place).as_posix(): _checksum(path)
        for path in sorted(place.rglob("*"))
        if path.is_file() and path != place / MANIFEST
    }


def _checksum(path: Path) -> list[int]:
    value, size = 0, 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            value = zlib.crc32(block, value)
            size += len(block)
    return [size, value]
