"""A C++ file compiled for this very machine at first use, and kept for the next time."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from trimtab.errors import SettingsError

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC", "-std=c++17")


@cache
def compiled(source: Path) -> ctypes.CDLL:
    """Return the library of a C++ file.

    It is kept in ``$XDG_CACHE_HOME/trimtab``, else in ``~/.cache/trimtab``, under a name that
    depends on the file, the headers beside it, the compiler and the processor.

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
        read = [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
        parts = (*read, compiler.encode(), version, _processor(), told)
        name = hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"
        home.mkdir(parents=True, exist_ok=True)
        library = home / f"{source.stem}-{name}.so"
        if not library.exists():
            _compile(compiler, source, library)
        return ctypes.CDLL(str(library))
    except (OSError, RuntimeError) as error:  # A RuntimeError where there is no home.
        raise _error(f"its compiled part cannot be kept or loaded: {error}") from None


def compile_all() -> None:
    """Compile every file beside this one, so that none is missed in the middle of a training.

    Raises
    ------
    SettingsError
        When there is no compiler, or it fails.
    """
    for source in sorted(Path(__file__).parent.glob("*.cpp")):
        compiled(source)


def _compile(compiler: str, source: Path, library: Path) -> None:
    """Compile beside ``library``, then rename: several processes may do so at once."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        done = subprocess.run(
            [compiler, *_FLAGS, str(source), "-o", str(made)], capture_output=True, text=True
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise _error(f"{compiler} failed: {last[0]}")
        os.replace(made, library)


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
