"""The page of every setting, written from the settings themselves.

``python -m trimtab.config.reference > docs/run-file.md``; a test holds the two together.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from trimtab.balancing import balancers
from trimtab.calibration import calibrators
from trimtab.config.schema import ReportSettings
from trimtab.config.training import LossSettings, TrainingSettings
from trimtab.data.feature import features
from trimtab.data.number import NumberSettings
from trimtab.data.settings import DataSettings, JoinSettings, ScenesSettings
from trimtab.features.engines import engines
from trimtab.features.settings import EmbeddingSettings
from trimtab.layers import TowerSettings
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
else drawn by `{ fraction = 0.1, seed = 0 }`), another file (`{ file = "valid.parquet" }`), or
values of a column (`{ column = "day", values = [13, 14] }`).
"""


_REFUSED: dict[type[BaseModel], tuple[str, ...]] = {
    BlendSettings: ("column", "given"),
    NumberSettings: ("shares",),
}
"""Keys that a kind takes from its base and always refuses."""


def tables() -> list[tuple[str, type[BaseModel]]]:
    """Return every table of the run file: its heading and its settings."""
    parts = [
        (f"`[{table}]` NAME, kind `{kind}`", registry[kind])
        for table, registry in (("features", features), ("targets", targets))
        for kind in registry
    ]
    return [
        ("`[data]`", DataSettings),
        ("`[data]` join, one table", JoinSettings),
        *parts[: len(list(features))],
        ("`[scenes]`", ScenesSettings),
        *parts[len(list(features)) :],
        *((f"`head` of a duration or an amount, kind `{kind}`", heads[kind]) for kind in heads),
        ("`of` of a blend, one behaviour", PartSettings),
        ("`[embedding]`", EmbeddingSettings),
        *((f"`engine` of the embedding, kind `{kind}`", engines[kind]) for kind in engines),
        *((f"`[trunk]`, kind `{kind}`", trunks[kind]) for kind in trunks),
        ("`[tower]`", TowerSettings),
        ("`[loss]`", LossSettings),
        *((f"`[balancing]`, kind `{kind}`", balancers[kind]) for kind in balancers),
        ("`[training]`", TrainingSettings),
        *((f"`[calibration]`, kind `{kind}`", calibrators[kind]) for kind in calibrators),
        ("`[report]`", ReportSettings),
    ]


def page() -> str:
    """Return the page, as Markdown."""
    return "\n".join([_INTRO, *(line for table in tables() for line in _table(*table))])


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
    return (
        getattr(value, "kind", str(value))
        if isinstance(value, BaseModel)
        else (value if value != "" else '""')
    )


def _type(annotation: Any) -> str:
    if re.search(r"Settings, .*Settings", str(annotation)):  # One of several kinds.
        return "kind, or table"
    text = getattr(annotation, "__name__", str(annotation))
    text = str(annotation) if "[" in str(annotation) else text
    text = re.sub(r"(typing|trimtab|pydantic|annotated_types)(\.\w+)*\.", "", text)
    text = re.sub(r"Annotated\[(\w+), [^\[\]]*\]", r"\1", text)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda m: m[1].replace(", ", " or "), text)
    return text.replace(" | None", "").replace("NoneType", "none")


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    sys.stdout.write(page())
