"""C++ files compiled for this very machine at first use, and kept for the next time."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from trimtab.errors import SettingsError

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC", "-std=c++17")


@cache
def library() -> ctypes.CDLL:
    """Return the library of the files beside this one.

    Raises
    ------
    SettingsError
        When there is no compiler, or it fails.
    """
    return compiled(sorted(Path(__file__).parent.glob("*.cpp")))


def compiled(sources: Sequence[Path]) -> ctypes.CDLL:
    """Return the library of some C++ files of one folder.

    It is kept in ``$XDG_CACHE_HOME/trimtab``, else in ``~/.cache/trimtab``, under a name that
    depends on the files, the headers beside them, the compiler and the processor.

    Raises
    ------
    SettingsError
        When there is no compiler, or it fails.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        raise _error("this machine has no C++ compiler (c++, g++ or what CXX names)")
    told = repr(_FLAGS).encode()
    try:
        version = subprocess.run([compiler, "--version"], capture_output=True).stdout
        headers = sorted(sources[0].parent.glob("*.h"))
        read = [path.read_bytes() for path in (*sources, *headers)]
        parts = (*read, compiler.encode(), version, _processor(), told)
        name = hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"
        home.mkdir(parents=True, exist_ok=True)
        kept = home / f"native-{name}.so"
        if not kept.exists():
            _compile(compiler, sources, kept)
        return ctypes.CDLL(str(kept))
    except (OSError, RuntimeError) as error:  # A RuntimeError where there is no home.
        raise _error(f"its compiled part cannot be kept or loaded: {error}") from None


def _compile(compiler: str, sources: Sequence[Path], kept: Path) -> None:
    """Compile beside ``kept``, then rename: several processes may do so at once."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        made = Path(folder) / kept.name
        command = [compiler, *_FLAGS, *map(str, sources), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise _error(f"{compiler} failed: {last[0]}")
        os.replace(made, kept)


def _processor() -> bytes:
    """Return what tells processors apart that do not run each other's code."""
    described = Path("/proc/cpuinfo")
    lines = described.read_bytes().split(b"\n") if described.exists() else []
    known = [line for line in lines if line.startswith((b"model name", b"flags", b"Features"))]
    return b"".join([platform.machine().encode(), *sorted(set(known))])


def _error(found: str) -> SettingsError:
    return SettingsError(
        f"embedding.engine: 'native' cannot be used: {found}. Expected: g++ or clang++ with "
        "OpenMP; engine = 'torch' needs neither."
    )
