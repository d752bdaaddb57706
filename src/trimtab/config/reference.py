"""The page of every setting, written from the settings themselves.

``python -m trimtab.config.reference > docs/run-file.md``; a test holds the two together.
"""

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from trimtab.balancing import balancers
from trimtab.calibration import calibrators
from trimtab.config.schema import ReportSettings
from trimtab.config.training import LossSettings, TrainingSettings
from trimtab.data.feature import features
from trimtab.data.number import NumberSettings
from trimtab.data.settings import DataSettings, JoinSettings, ScenesSettings, Valid
from trimtab.features.engines import engines
from trimtab.features.settings import EmbeddingSettings
from trimtab.layers import TowerSettings
from trimtab.registry import Registry
from trimtab.targets import targets
from trimtab.targets.blend import BlendSettings, PartSettings
from trimtab.targets.heads import heads
from trimtab.trunks import trunks

_INTRO = """# The run file

TOML. What is not written has the default below. Paths are relative to the run file's folder, and
`${NAME:-default}` in them stands for an environment variable. `trimtab train run.toml -s
training.epochs=3` changes a setting for one run. Unknown keys are refused, and every problem is
reported at once.

`valid` says which rows are held out: the last stretch of time (`"2d"`, `"12h"`), everything from
an instant on (`"2026-05-04T00:00:00+08:00"`), a share (`0.1`: the last rows where there is a time,
else drawn at random, as `{ fraction = 0.1, random = true }` always is), another file
(`{ file = "valid.parquet" }`), or values of a column (`{ column = "day", values = [13, 14] }`).
"""


_VALID: tuple[type[BaseModel], ...] = get_args(get_args(Valid)[0])
"""The forms of ``valid``, told apart by their first key."""

_REFUSED: dict[type[BaseModel], tuple[str, ...]] = {
    BlendSettings: ("column", "given"),
    NumberSettings: ("shares",),
}
"""Keys that a kind takes from its base and always refuses."""


def tables() -> list[tuple[str, str, type[BaseModel]]]:
    """Return every table of the run file: what it belongs to, which form or kind, its settings."""

    def kinds(table: str, registry: Registry[Any]) -> list[tuple[str, str, type[BaseModel]]]:
        return [(table, f"kind `{kind}`", registry[kind]) for kind in registry]

    return [
        ("`[data]`", "", DataSettings),
        ("`[data]`", "one table of `join`", JoinSettings),
        *(("`[data]`", f"`valid` by `{next(iter(form.model_fields))}`", form) for form in _VALID),
        *kinds("`[features]` NAME", features),
        ("`[scenes]`", "", ScenesSettings),
        *kinds("`[targets]` NAME", targets),
        *kinds("`head` of a duration or an amount", heads),
        ("`of` of a blend", "one behaviour", PartSettings),
        ("`[training]`", "", TrainingSettings),
        ("`[loss]`", "", LossSettings),
        ("`[embedding]`", "", EmbeddingSettings),
        ("`[tower]`", "", TowerSettings),
        *kinds("`[calibration]`", calibrators),
        ("`[report]`", "", ReportSettings),
        *kinds("`engine` of the embedding", engines),
        *kinds("`[trunk]`", trunks),
        *kinds("`[balancing]`", balancers),
    ]


def page() -> str:
    """Return the page, as Markdown."""
    parts = (
        line for *heading, settings in tables() for line in _table(_heading(*heading), settings)
    )
    return "\n".join([_INTRO, *_contents(), *parts])


def _heading(table: str, which: str) -> str:
    return f"{table}, {which}" if which else table


def _contents() -> Iterator[str]:
    """Yield a line of links for each table of the run file."""
    for table, group in groupby(tables(), key=itemgetter(0)):
        links = []
        for _, which, _ in group:
            place = re.sub(r"[^\w -]", "", _heading(table, which).lower()).replace(" ", "-")
            links.append(f"[{which.removeprefix('kind ') or table}](#{place})")
        own = [] if links[0].startswith(f"[{table}]") else [table]
        yield f"- {' · '.join([*own, *links])}"
    yield ""


def _table(heading: str, settings: type[BaseModel]) -> Iterator[str]:
    yield f"## {heading}\n"
    yield _one_line(settings.__doc__ or "") + "\n"
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    inherited = {name for base in settings.__bases__ for name in getattr(base, "model_fields", ())}
    own_first = sorted(settings.model_fields.items(), key=lambda entry: entry[0] in inherited)
    for name, field in own_first:
        if name == "kind" or name in _REFUSED.get(settings, ()):
            continue
        default = "" if field.is_required() else f"`{_default(field)}`"
        kind = _type(field.annotation).replace("|", "\\|")
        meaning = _one_line(field.description or "").replace("|", "\\|")
        yield f"| `{name}` | {kind} | {default} | {meaning} |"
    yield ""


def _default(field: Any) -> Any:
    value = field.default_factory() if field.default is PydanticUndefined else field.default
    shown = {None: "none", True: "true", False: "false"}
    return shown.get(value, value) if isinstance(value, bool | None) else _plain(value)


def _plain(value: Any) -> Any:
    if not isinstance(value, BaseModel):
        return value if value != "" else '""'
    given = ", ".join(f"{name} = {getattr(value, name)}" for name in sorted(value.model_fields_set))
    return getattr(value, "kind", f"{{ {given} }}")


def _type(annotation: Any) -> str:
    if re.search(r"Settings, .*Settings", str(annotation)):  # One of several kinds.
        return "kind, or table"
    if set(_VALID) <= set(get_args(annotation)):
        return "one of the forms below"
    text = getattr(annotation, "__name__", str(annotation))
    text = str(annotation) if "[" in str(annotation) else text
    text = re.sub(r"(typing|trimtab|pydantic|annotated_types)(\.\w+)*\.", "", text)
    text = re.sub(r"Annotated\[(\w+), [^\[\]]*\]", r"\1", text)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda m: m[1].replace(", ", " or "), text)
    text = re.sub(r"(?:Optional|Union)\[(\w+)[^\[\]]*\]", r"\1", text)  # Or nothing, or 0.
    text = re.sub(r"list\[\w+Settings\]", "list of tables", text)
    text = re.sub(r"dict\[str, \w+Settings\]", "table of tables", text)
    text = text.replace("timedelta", "time span").replace("datetime", "instant")
    return text.replace(" | None", "").replace("NoneType", "none")


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    sys.stdout.write(page())
