"""A run file is read as it is meant, or every problem in it is told in plain words at once."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trimtab.config.load import load, parse
from trimtab.config.schema import RunSettings
from trimtab.errors import SettingsError
from trimtab.settings import FORMS

SMALL: dict[str, Any] = {
    "data": {"log": "log.parquet"},
    "features": {"user": "id"},
    "targets": {"click": "binary", "play": "duration"},
}
ALIEN = re.compile(r"Input should|ield required|should be a|function-|\[type=|list\[|\?\.|\.\.$")
"""How a message reads that was not written for people."""


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """Return the small run file with the values at some dotted keys changed."""
    content = copy.deepcopy(SMALL)
    for key, value in changes:
        *parents, last = key.split(".")
        table = content
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return content


def problems(content: Any) -> list[str]:
    """Return the lines of the message, without its heading."""
    with pytest.raises(SettingsError) as caught:
        parse(content, where="run.toml")
    heading, *lines = str(caught.value).split("\n  ")
    assert heading == f"run.toml: {len(lines)} problem" + "s" * (len(lines) > 1)
    assert not ALIEN.search(str(caught.value))
    return lines


CASES: list[tuple[str, Any, str]] = [
    # One value in the wrong form, by pydantic's kind of problem
    ("training.epochs", "many", "training.epochs: expected a whole number; found 'many'."),
    ("training.epochs", [3], "training.epochs: expected a whole number; found [3]."),
    ("training.epochs", 2.5, "training.epochs: expected a whole number; found 2.5."),
    ("training.epochs", 0, "training.epochs: expected a number above 0; found 0."),
    ("training.seed", -1, "training.seed: expected a number of 0 or more; found -1."),
    ("training.average", 1.0, "training.average: expected a number below 1; found 1.0."),
    ("training.weight_decay", "x", "training.weight_decay: expected a number; found 'x'."),
    ("training.weight_decay", {}, "training.weight_decay: expected a number; found {}."),
    (
        "training.weight_decay",
        float("nan"),
        "training.weight_decay: expected a finite number; found nan.",
    ),
    (
        "embedding.first_order",
        "maybe",
        "embedding.first_order: expected true or false; found 'maybe'.",
    ),
    ("embedding.first_order", [], "embedding.first_order: expected true or false; found []."),
    ("data.user", 3, "data.user: expected text; found 3."),
    ("data.user", True, "data.user: expected text; found true."),
    ("data.duplicates", "no", "data.duplicates: expected 'keep' or 'drop'; found 'no'."),
    (
        "trunk",
        {"kind": "shared_bottom", "widths": 64},
        "trunk.widths: expected a list, [ ... ]; found 64.",
    ),
    (
        "trunk",
        {"kind": "shared_bottom", "widths": [64, 0]},
        "trunk.widths[1]: expected a number above 0; found 0.",
    ),
    (
        "trunk",
        {"kind": "home", "widths": [64, 32, 16]},
        "trunk.widths: expected 2 or fewer entries; found [64, 32, 16].",
    ),
    ("data", [1], "data: expected a table, { key = value }; found [1]."),
    ("features", ["user"], "features: expected a table, { key = value }; found ['user']."),
    ("features", {}, "features: expected 1 or more entries; found {}."),
    (
        "features.tags",
        {"kind": "ids", "separator": ""},
        "features.tags.separator: expected text of 1 character or more; found ''.",
    ),
    (
        "features.user",
        3,
        "features.user: expected the name of a kind, or a table, { kind = ... }; found 3.",
    ),
    # A key that may be one of several things
    ("data.log", 3, "data.log: expected text or a list, [ ... ]; found 3."),
    ("data.log", ["a", 3], "data.log[1]: expected text; found 3."),
    (
        "targets.click",
        {"kind": "binary", "scene": 3},
        "targets.click.scene: expected text or a list, [ ... ]; found 3.",
    ),
    (
        "scenes",
        {"column": "tab", "feed": [[1]]},
        "scenes.feed[0]: expected text or a whole number or a number or true or false; found [1].",
    ),
    (
        "scenes",
        {"column": "tab", "feed": [1], "weights": {"feed": "x"}},
        "scenes.weights.feed: expected a number or 0; found 'x'.",
    ),
    # Kinds
    (
        "features.user",
        "text",
        "features.user.kind: expected 'id', 'ids' or 'number'; found 'text'.",
    ),
    (
        "features.user",
        {"kind": "text"},
        "features.user.kind: expected 'id', 'ids' or 'number'; found 'text'.",
    ),
    (
        "features.user",
        {"least_rows": 3},
        "features.user.kind: expected 'id', 'ids' or 'number'; it is missing.",
    ),
    ("trunk", {"widths": [3]}, "trunk.kind: expected 'adatt', 'aitm', 'home'"),
    # Missing and unknown keys, in tables of every depth
    ("data.join", [{"table": "users.parquet"}], "data.join[0].on: missing; it must be given."),
    ("training.epoch", 3, "training.epoch: unknown key. Did you mean 'epochs'?"),
    ("training.zzz", 3, "training.zzz: unknown key. Known: average, batch_rows, "),
    ("trainning", {}, "trainning: unknown key. Did you mean 'training'?"),
    ("epochs", 3, "epochs: unknown key. Did you mean 'training.epochs'?"),
    ("data.epochs", 3, "data.epochs: unknown key. Did you mean 'training.epochs'?"),
    (
        "features.user",
        {"kind": "id", "least_row": 3},
        "features.user.least_row: unknown key. Did you mean 'least_rows'?",
    ),
    (
        "targets.click",
        {"kind": "binary", "unit": "s"},
        "targets.click.unit: unknown key. Known: column, entire_space, given, ips_weight, kind, ",
    ),
    (
        "trunk",
        {"kind": "shared_bottom", "width": [3]},
        "trunk.width: unknown key. Did you mean 'widths'?",
    ),
    (
        "targets.all",
        {"kind": "blend", "of": {"play": {"weight": 1, "atleast": 3}}},
        "targets.all.of.play.atleast: unknown key. Did you mean 'at_least'?",
    ),
    (
        "targets.all",
        {"kind": "blend", "of": {"play": {"at_least": 3}}},
        "targets.all.of.play.weight: missing; it must be given.",
    ),
    (
        "targets.all",
        {"kind": "blend", "of": {"click": "much"}},
        "targets.all.of.click: expected a number; found 'much'.",
    ),
    (
        "targets.all",
        {"kind": "blend", "of": ["click"]},
        "targets.all.of: expected a table, { key = value }; found ['click'].",
    ),
    ("targets.all", {"kind": "blend"}, "targets.all.of: missing; it must be given."),
    # The forms of valid, and what the tables check themselves
    ("data.valid", "2 days", "data.valid: expected a stretch of time ('2d', '12h'), "),
    ("data.valid", 2, "data.valid: fraction: expected a number below 1; found 2."),
    (
        "data.valid",
        {"column": "day"},
        "data.valid: values: missing; it must be given; found {'column': 'day'}.",
    ),
    (
        "data.valid",
        {"fraction": 0.1, "sed": 1},
        "data.valid: sed: unknown key; found {'fraction': 0.1, 'sed': 1}.",
    ),
    (
        "targets.all",
        {"kind": "blend", "of": {"play": {"weight": 1, "per": 3}}},
        "targets.all.of.play: 'per' and 'cap' go together.",
    ),
    ("scenes", {"feed": [1]}, "scenes: give either 'column' and the scenes' values, or 'stages'."),
    # Names that are no words, and long values
    ("features", {"a b": 3}, 'features."a b": expected the name of a kind, or a table, '),
    (
        "data.user",
        list(range(100)),
        "data.user: expected text; found [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and m",
    ),
]


@pytest.mark.parametrize(("key", "value", "says"), CASES)
def test_one_problem_is_one_plain_line(key: str, value: Any, says: str) -> None:
    (line,) = problems(changed((key, value)))
    assert line.startswith(says), line


def test_every_form_is_told_in_plain_words() -> None:
    found = set()
    for key, value, _ in CASES:
        with pytest.raises(ValidationError) as caught:
            RunSettings.model_validate(changed((key, value)))
        found |= {problem["type"] for problem in caught.value.errors()}
    never = {"int_parsing_size", "less_than_equal", "bool_type", "float_type", "greater_than_equal"}
    assert set(FORMS) - never <= found


def test_every_problem_is_told_at_once() -> None:
    lines = problems(
        changed(
            ("data.user", 3),
            ("features.user", {"kind": "idd"}),
            ("targets.click", {"kind": "binary", "wait": 1}),
            ("training", {"epochs": 0, "epoch": 3}),
        )
    )
    assert [line.split(":")[0] for line in lines] == [
        "data.user",
        "features.user.kind",
        "targets.click.wait",
        "training.epochs",
        "training.epoch",
    ]


def test_problems_between_tables_are_told_at_once() -> None:
    lines = problems(
        changed(
            ("targets.like", {"kind": "binary", "given": "clik"}),
            ("targets.keys", "binary"),
            ("features.friend", {"kind": "id", "shares": "usr"}),
        )
    )
    assert [line.split(":")[0] for line in lines] == [
        "targets.keys",
        "targets.like.given",
        "features.friend.shares",
    ]


FULL: dict[str, Any] = {
    "data": {"log": "log.parquet", "time": "t", "join": [{"table": "users.parquet", "on": "user"}]},
    "features": {"user": "id", "age": "number", "tags": {"kind": "ids", "separator": ","}},
    "scenes": {"column": "tab", "feed": [1], "weights": {"feed": 2.0}},
    "targets": {
        "click": "binary",
        "play": "duration",
        "price": "number",
        "all": {"kind": "blend", "of": {"click": 1, "play": {"weight": 3, "at_least": 30}}},
    },
}
ODD = [None, True, -1, 0, 0.5, 1e400, float("nan"), "x", "", [], [None], [[1]], {}, {"x": 1}, print]


def places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value."""
    if place:
        yield place
    inside = dict(enumerate(content)) if isinstance(content, list) else content
    for key, value in inside.items() if isinstance(inside, dict) else ():
        yield from places(value, (*place, key))


def message(content: Any) -> str:
    try:
        parse(content)
    except SettingsError as error:
        return str(error)
    return ""


def test_odd_values_anywhere_are_told_in_plain_words() -> None:
    content = parse(FULL).model_dump()
    assert message(content) == ""
    for place in places(content):
        for odd in ODD:
            broken = copy.deepcopy(content)
            table = broken
            for key in place[:-1]:
                table = table[key]
            table[place[-1]] = odd
            said = message(broken)
            assert not ALIEN.search(said), f"{place} = {odd!r}: {said}"


# Reading the file


def test_paths_are_relative_to_the_run_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGS", "/logs")
    monkeypatch.delenv("TABLES", raising=False)
    (tmp_path / "run.toml").write_text(
        """
        data.log = ["${LOGS}/a.parquet", "../b.parquet"]
        data.join = [{ table = "${TABLES:-tables}/users.parquet", on = "user" }]
        data.valid = { file = "valid.parquet" }
        features.user = "id"
        targets.click = "binary"
        """
    )
    data = load(tmp_path / "run.toml").data
    assert data.log == ["/logs/a.parquet", str(tmp_path.parent / "b.parquet")]
    assert data.join[0].table == str(tmp_path / "tables" / "users.parquet")
    assert data.valid.file == str(tmp_path / "valid.parquet")  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["data.log", "data.valid.file"])
def test_a_variable_that_is_not_set_is_named(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGS", raising=False)
    with pytest.raises(SettingsError, match=r"variable LOGS is not set; .* \$\{LOGS:-\.\.\.\}\.$"):
        parse(changed((key, "${LOGS}/log.parquet")))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("~no-such-user/log.parquet", "Could not determine home directory."),
        ("log\0.parquet", "embedded null byte."),
    ],
)
def test_a_path_that_is_none_is_named(path: str, why: str) -> None:
    says = re.escape(f"{path!r}: expected a path; this is none: {why}")
    for key in ("data.log", "data.valid.file"):
        with pytest.raises(SettingsError, match=says):
            parse(changed((key, path)))


def test_overrides_are_toml_or_else_text(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("features.user = 'id'\ntargets.click = 'binary'\ntraining.epochs = 7")
    overrides = [
        "training.epochs=3",
        "training.learning_rate = 1e-2",
        "training.device=cpu",
        "trunk.kind=shared_bottom",
        "trunk.widths=[8, 4]",
        "targets.like.kind='binary'",
        "data.user=a=b",
    ]
    settings = load(path, overrides)
    assert (settings.training.epochs, settings.training.learning_rate) == (3, 0.01)
    assert settings.training.device == "cpu"
    assert settings.trunk.widths == [8, 4]
    assert set(settings.targets) == {"click", "like"}
    assert settings.data.user == "a=b"


def test_overrides_reach_into_what_is_written_as_its_kind_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    lines = ["features.user = 'id'", "targets.play = { kind = 'duration', head = 'd2q' }"]
    lines += ["targets.click = 'binary'", "trunk = 'moe'", "calibration = 'platt'"]
    lines += ["balancing = 'dwa'", "embedding.engine = 'fbgemm'"]
    path.write_text("\n".join(lines))
    overrides = [
        "features.user.hash_rows=1000",
        "targets.click.weight=2",
        "targets.play.head.groups=7",
        "trunk.widths=[8]",
        "calibration.folds=3",
        "balancing.temperature=3",
        "embedding.engine.optimizer=adagrad",
    ]
    found = load(path, overrides).model_dump(exclude_defaults=True)
    assert found["features"] == {"user": {"hash_rows": 1000}}
    assert found["targets"]["click"] == {"weight": 2}
    assert found["targets"]["play"]["head"]["groups"] == 7
    assert (found["trunk"]["widths"], found["calibration"]["folds"]) == ([8], 3)
    assert found["balancing"]["temperature"] == 3
    assert found["embedding"]["engine"]["optimizer"] == "adagrad"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epochs", "-s training.epochs: expected key=value, such as training.epochs=3."),
        ("=3", "-s =3: expected key=value"),
        ("features.user.kind.x=1", "-s features.user.kind.x=1: 'kind' is no table of the run file"),
        ("data.log.x=1", "-s data.log.x=1: 'log' is no table of the run file."),
        ("training=3", "training: expected a table, { key = value }; found 3."),
    ],
)
def test_wrong_overrides(override: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("data.log = 'a'\nfeatures.user = 'id'\ntargets.click = 'binary'")
    with pytest.raises(SettingsError, match=re.escape(says)):
        load(path, [override])


def test_a_file_as_windows_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbffeatures.user = 'id'\r\ntargets.click = 'binary'\r\n")
    assert list(load(path).features) == ["user"]


def test_settings_that_are_no_tables() -> None:
    with pytest.raises(SettingsError, match=r"^settings: expected tables, found list\.$"):
        parse([1])  # type: ignore[arg-type]


def test_what_was_read_can_be_written_and_read_again() -> None:
    settings = parse(FULL)
    assert RunSettings.model_validate_json(settings.model_dump_json()) == settings
    assert parse(settings.model_dump(mode="json")) == settings


def test_attention_needs_the_item_that_it_weighs_by() -> None:
    settings = {
        "features": {"video": "id", "seen": {"kind": "ids", "pool": "attention"}},
        "targets": {"click": "binary"},
    }
    with pytest.raises(SettingsError, match="features.seen.pool: attention weighs the list"):
        parse(settings)
    settings["features"]["seen"]["shares"] = "video"  # type: ignore[index]
    assert parse(settings).features["seen"].asks() == "video"


def test_a_table_with_the_name_of_a_lists_lengths_is_refused() -> None:
    content = changed(("features", {"seen": "ids", "seen.length": "id"}))
    (line,) = problems(content)
    assert line.startswith('features."seen.length": the table of the lengths of')
    content["features"] |= {"user": "id", "seen.length": {"kind": "id", "shares": "user"}}
    parse(content)
