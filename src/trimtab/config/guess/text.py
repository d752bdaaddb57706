"""What was guessed, as a run file with a comment on every line, and as a table for a terminal."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from trimtab.config.guess.line import Found, Line

_WIDEST = 80
"""Characters up to which comments are aligned."""
_TRUNK = [Line(name="kind", value="shared_bottom")]
_ABOUT = {
    "data": "Where the rows come from, and which are held out to measure the model.",
    "features": (
        'What is known before a row is shown. Kinds: "id" (a table row a value), "ids" (lists\n'
        '# of those), "number" (scale: standard, log, quantile, piecewise).'
    ),
    "targets": (
        'What to predict. Kinds: "binary", "duration", "amount", "number", "blend". Weights\n'
        "# between them may be chosen after training; `weight` here is that of the loss."
    ),
    "trunk": "The part of the network that all targets share.",
    "training": "Sized for a small log; everything left out has a default.",
}


def run_file(found: Found, log: str) -> str:
    """Return the run file's text.

    Parameters
    ----------
    log
        The log's path as the run file should write it.
    """
    sample = f"; values counted in {found.sampled:,} of them" if found.sampled < found.rows else ""
    head = [
        f"# Inferred by `trimtab init` from {_plain(Path(found.log).name)}: "
        f"{found.rows:,} rows, {found.columns:,} columns{sample}.",
        "# All of it is a guess that trains as it is (trimtab train FILE); change what is wrong.",
    ]
    parts = [
        head,
        [*_table("data"), *_written([Line(name="log", value=log), *found.data]), *_joins()],
        [*_table("features"), *_written(found.features), *_left_out(found.left_out)],
        _scenes(found.scenes),
        [*_table("targets"), *_written(found.targets)],
        [*_table("trunk"), *_written(_TRUNK)],
        [*_table("training"), *_written(found.training)] if found.training else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _table(name: str) -> list[str]:
    return [f"# {_ABOUT[name]}", f"[{name}]"]


def _written(lines: Sequence[Line]) -> list[str]:
    """Return one line a key, with the signs = and # in columns."""
    keys = [_key(line.name) for line in lines]
    width = max((len(key) for key in keys if len(key) <= _WIDEST // 2), default=0)
    plain = [f"{key:{width}} = {value(line.value)}" for key, line in zip(keys, lines, strict=True)]
    remarks = [_plain(line.comment) for line in lines]
    noted = [len(text) for text, remark in zip(plain, remarks, strict=True) if remark]
    column = max((length for length in noted if length <= _WIDEST), default=0)
    return [
        f"{text:{column}}  # {remark}" if remark else text
        for text, remark in zip(plain, remarks, strict=True)
    ]


def _joins() -> list[str]:
    return [
        '# join = [{ table = "users.parquet", on = "user_id" }]  # side tables, if there are any'
    ]


def _left_out(reasons: Mapping[str, str]) -> list[str]:
    """Return the columns that are no features, as comments."""
    if not reasons:
        return []
    width = min(max(len(_key(name)) for name in reasons), 30)
    return [
        "#",
        "# Columns left out (write one above to use it all the same):",
        *(f"#   {_key(name):{width}}  {_plain(reason)}" for name, reason in reasons.items()),
    ]


def _scenes(scenes: tuple[str, list[Line]] | None) -> list[str]:
    """Return a suggestion that only the owner can decide on, as comments."""
    if scenes is None:
        return []
    column, lines = scenes
    return [
        f"# If another {_plain(column)} is another scene, give each its own tower: rename them",
        '# and take the signs # away. Values not named fall into "other".',
        "# [scenes]",
        f"# column = {_quoted(column)}",
        *(f"# {line}" for line in _written(lines)),
    ]


def value(found: Any) -> str:
    """Write a value in TOML; a feature or target with its kind only is that kind."""
    if isinstance(found, Mapping):
        if list(found) == ["kind"]:
            return _quoted(found["kind"])
        return "{ " + ", ".join(f"{_key(k)} = {value(v)}" for k, v in found.items()) + " }"
    if isinstance(found, list | tuple):
        return "[" + ", ".join(map(value, found)) + "]"
    if isinstance(found, bool):
        return str(found).lower()
    return _quoted(found) if isinstance(found, str) else repr(found)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """Return text that fits a comment: one line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def summary(found: Found) -> Table:
    """Return what was inferred, for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    held_out = next(line.comment for line in found.data if line.name == "valid")
    names = {line.name: line.value for line in found.data}
    table.add_row("rows", f"{found.rows:,}")
    table.add_row("user", escape(names.get("user", "none found")))
    table.add_row("time", escape(names.get("time", "none found")))
    table.add_row("held out", escape(held_out))
    for i, target in enumerate(found.targets):
        said = f"{target.name} ({target.value['kind']}): {target.comment}"
        table.add_row("" if i else "targets", escape(said))
    kinds = [line.value["kind"] for line in found.features]
    counted = ", ".join(
        f"{kinds.count(kind)} {kind}" for kind in ("id", "ids", "number") if kind in kinds
    )
    table.add_row("features", f"{len(kinds)}: {counted}")
    table.add_row(
        "left out",
        f"{len(found.left_out)}, with the reasons in the file" if found.left_out else "none",
    )
    return table
