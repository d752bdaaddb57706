"""From a run file and overrides to settings, or to every problem at once."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trimtab.config.explain import explain
from trimtab.config.schema import RunSettings
from trimtab.errors import SettingsError

_OF_A_KIND = re.compile(
    r"(features|targets)\.[^.]+(\.head)?|trunk|balancing|calibration|embedding\.engine"
)
"""Tables for which a run file may have the name of their kind alone."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load(path: str | Path, overrides: Iterable[str] = ()) -> RunSettings:
    """Read a run file.

    Paths in it are relative to its folder; ``${NAME:-default}`` in them stands for an environment
    variable.

    Parameters
    ----------
    overrides
        ``key=value`` with a dotted key and a TOML value, such as ``training.epochs=3``.

    Raises
    ------
    SettingsError
        With one line a problem, all problems at once.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}.") from None
    for override in overrides:
        _override(content, override)
    return parse(content, where=str(path), folder=path.parent)


def parse(
    content: Mapping[str, Any], where: str = "settings", folder: Path | None = None
) -> RunSettings:
    """Check settings given as nested dictionaries.

    Raises
    ------
    SettingsError
        With one line a problem, all problems at once.
    """
    if not isinstance(content, Mapping):
        raise SettingsError(f"{where}: expected tables, found {type(content).__name__}.")
    content = _with_paths(content, folder or Path())
    try:
        return RunSettings.model_validate(content)
    except ValidationError as error:
        lines = explain(error.errors(), content)
        count = f"{len(lines)} problem" + ("s" if len(lines) > 1 else "")
        raise SettingsError("\n  ".join([f"{where}: {count}", *lines])) from None


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"-s {override}: expected key=value, such as training.epochs=3.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    table = content
    for depth, parent in enumerate(parents, 1):
        inside = table.setdefault(parent, {})
        if isinstance(inside, str) and _OF_A_KIND.fullmatch(".".join(parents[:depth])):
            inside = table[parent] = {"kind": inside}
        if not isinstance(inside, dict):
            raise SettingsError(f"-s {override}: {parent!r} is no table of the run file.")
        table = inside
    table[last] = value


def _with_paths(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve the paths of the ``[data]`` table."""
    content = dict(content)
    data = content.get("data")
    if not isinstance(data, dict):
        return content
    data = dict(data)
    if "log" in data:
        data["log"] = _resolve(data["log"], folder)
    if isinstance(data.get("valid"), dict) and "file" in data["valid"]:
        data["valid"] = data["valid"] | {"file": _resolve(data["valid"]["file"], folder)}
    if isinstance(data.get("join"), list):
        data["join"] = [
            j | {"table": _resolve(j["table"], folder)}
            if isinstance(j, dict) and "table" in j
            else j
            for j in data["join"]
        ]
    return content | {"data": data}


def _resolve(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_resolve(one, folder) for one in value]
    if not isinstance(value, str) or not value:
        return value
    value = _VARIABLE.sub(_variable, value)
    try:
        return str((folder / Path(value).expanduser()).resolve())
    except (RuntimeError, ValueError) as error:  # No such user, links in a circle, a null.
        why = str(error).rstrip(".")
        raise SettingsError(f"{value!r}: expected a path; this is none: {why}.") from None


def _variable(match: re.Match[str]) -> str:
    """Return the value of an environment variable, else the default beside it."""
    value = os.environ.get(match[1]) or match[2]
    if value is None:
        raise SettingsError(
            f"{match[0]}: the environment variable {match[1]} is not set; "
            f"set it, or write a default: ${{{match[1]}:-...}}."
        )
    return value
