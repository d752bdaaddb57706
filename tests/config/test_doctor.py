"""Each check of the data doctor finds what was planted for it, and a clean log passes them all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.config import examined as examined_module
from trimtab.config.counters import excess
from trimtab.config.doctor import Finding, examine
from trimtab.config.load import load, parse
from trimtab.errors import DataError

ROWS = 4000
DATA = Path(os.environ.get("TRIMTAB_DATA") or Path(__file__).parents[2] / "../shared/data")


def log(rows: int = ROWS, **planted: Any) -> pl.DataFrame:
    """A log whose clicks depend on user and item, and whose likes are independent of clicks."""
    draw = np.random.default_rng(1)
    user, item = draw.integers(0, 40, rows), draw.integers(0, 30, rows)
    taste = np.sin(user * 1.7) + np.cos(item * 2.3)
    columns = {
        "time": np.arange(rows) + 1_700_000_000,
        "user": user,
        "item": item,
        "age": 20 + user % 30,
        "place": draw.integers(0, 2, rows),
        "click": (draw.logistic(size=rows) < taste - 1).astype(int),
        "like": (draw.logistic(size=rows) < taste - 2).astype(int),
    }
    return pl.DataFrame(columns | planted)


def settings(**tables: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        "data": {"time": "time", "user": "user", "valid": 0.25},
        "features": {"user": "id", "item": "id", "age": "number"},
        "scenes": {"column": "place", "feed": [0], "search": [1]},
        "targets": {"click": {"kind": "binary"}, "like": {"kind": "binary"}},
    }
    return {name: plain.get(name, {}) | tables.get(name, {}) for name in plain | tables}


def look(frame: pl.DataFrame, **tables: Mapping[str, Any]) -> list[Finding]:
    return examine(parse(settings(**tables)), frame)


def one(findings: list[Finding], where: str, *words: str) -> Finding:
    """Return the only finding at a place that says some words."""
    said = [f for f in findings if f.where == where and all(w in f.what for w in words)]
    assert len(said) == 1, "\n".join(map(str, findings))
    return said[0]


def test_clean_log_has_neither_problem_nor_warning() -> None:
    findings = look(log())
    assert [f for f in findings if f.severity != "note"] == []
    assert one(findings, "data.valid").what == "3,000 rows train and 1,000 are held out."


def test_most_severe_comes_first_and_findings_are_json() -> None:
    frame = log(copy=log()["click"], constant=1)
    findings = look(frame, features={"user": "id", "copy": "id", "constant": "id"})
    order = [("problem", "warning", "note").index(f.severity) for f in findings]
    assert order == sorted(order)
    assert {0, 1, 2} == set(order)
    assert set(findings[0].as_dict()) == {"severity", "where", "what", "advice"}
    assert json.loads(json.dumps([f.as_dict() for f in findings]))


def test_copies_are_counted_whether_they_are_dropped_or_not() -> None:
    frame = pl.concat([log(), log().head(100)])
    kept = one(look(frame), "data.duplicates", "100 of 4,100 rows (2.44 %)")
    assert kept.severity == "warning"
    assert 'duplicates = "drop"' in kept.advice
    dropped = one(look(frame, data={"duplicates": "drop"}), "data.duplicates", "100 of 4,100")
    assert (dropped.severity, dropped.advice) == ("note", "")


@pytest.mark.parametrize(
    ("known", "severity", "share"),
    [(39, "note", "2."), (30, "warning", "2"), (0, "problem", "100 %")],
)
def test_rows_without_match_in_a_side_table(
    tmp_path: Path, known: int, severity: str, share: str
) -> None:
    users = pl.DataFrame({"user": np.arange(known) if known else [999], "city": 1})
    users.write_parquet(tmp_path / "users.parquet")
    join = {"join": [{"table": str(tmp_path / "users.parquet"), "on": "user"}]}
    found = one(look(log(), data=join), "data.join[0]", "find no user in users.parquet")
    assert found.severity == severity
    assert found.what.startswith(share)


def test_rows_without_a_user() -> None:
    frame = log(user=[None if i % 4 == 0 else i % 40 for i in range(ROWS)])
    found = one(look(frame), "data.user")
    assert found.what == "1,000 of 4,000 rows (25 %) have no user."
    assert found.severity == "note"
    assert not [f for f in look(log()) if f.where == "data.user"]


def test_constant_and_missing_features() -> None:
    half = pl.Series([None, 1.5] * (ROWS // 2))
    nothing = pl.Series([None] * ROWS, dtype=pl.String)
    frame = log(one=1, nothing=nothing, half=half, empty=[[], [1]] * (ROWS // 2))
    kinds = {"one": "number", "nothing": "id", "half": "number", "empty": "ids"}
    findings = look(frame, features=kinds)
    assert one(findings, "features", "One value", ": one, nothing.").severity == "warning"
    assert one(findings, "features", "Missing", "half 50 %, empty 50 %").severity == "note"


def test_ids_that_never_come_back() -> None:
    frame = log(request=np.arange(ROWS), day=np.arange(ROWS) // 500)
    findings = look(frame, features={"request": "id", "day": "id"})
    assert one(findings, "features.request", "100 % as many values").severity == "warning"
    one(findings, "features.day", "100 % of the valid rows")


def test_hashed_ids_that_share_a_row() -> None:
    hashed = {"kind": "id", "hash_rows": 1_000}
    features = {"user": hashed, "item": hashed | {"hash_rows": 10}}
    findings = look(log(), features=features)
    few = one(findings, "features.user.hash_rows", "40 values hashed to 1,000 rows", "expected)")
    many = one(findings, "features.item.hash_rows", "30 values hashed to 10 rows")
    assert (few.severity, few.advice) == ("note", "")
    assert many.severity == "warning"
    assert many.advice == "With hash_rows = 280, 10 % would."
    assert not [f for f in findings if "valid rows have a value" in f.what]


def test_number_that_follows_a_label_is_a_leak() -> None:
    frame = log()
    seconds = frame["click"].to_numpy() * 9 + np.random.default_rng(2).random(ROWS) * 10
    findings = look(frame.with_columns(spent=seconds), features={"spent": "number"})
    found = one(findings, "features.spent", "click (AUC 0.99")
    assert found.severity == "problem"
    assert "Leave it out" in found.advice


def test_list_that_follows_a_label_is_a_leak() -> None:
    draw = np.random.default_rng(2).random(ROWS)
    told = np.where(log()["click"].to_numpy() == 1, draw * 10 // 1, draw * 10 // 1 + 7)
    frame = log(events=[[int(t), 50] for t in told])
    one(look(frame, features={"events": "ids"}), "features.events", "click (AUC 0.9")


def test_feature_far_ahead_of_the_others_is_suspect() -> None:
    draw = np.random.default_rng(2).random(ROWS)
    echo = np.where(draw < 0.1, 1 - log()["click"].to_numpy(), log()["click"].to_numpy())
    found = one(look(log(echo=echo), features={"echo": "id"}), "features.echo", "far better")
    assert found.severity == "warning"


def test_feature_that_is_a_label_or_tells_it() -> None:
    words = log()["like"].replace_strict({0: "no", 1: "yes"}, return_dtype=pl.String)
    seconds = np.random.default_rng(2).exponential(10, ROWS).round(1)
    frame = log(words=words, play=seconds, tenths=(seconds * 10).round().astype(int))
    findings = look(
        frame,
        features={"seen": {"kind": "id", "column": "click"}, "words": "id", "tenths": "id"},
        targets={"play": {"kind": "duration"}},
    )
    assert one(findings, "features.seen", "is the label of click").severity == "problem"
    assert one(findings, "features.words", "value for value, like").severity == "problem"
    assert one(findings, "features.tenths", "value for value, play").severity == "problem"


def test_unique_ids_do_not_tell_unique_labels() -> None:
    draw = np.random.default_rng(2)
    frame = log(request=draw.permutation(ROWS), play=draw.random(ROWS))
    findings = look(frame, features={"request": "id"}, targets={"play": {"kind": "duration"}})
    assert not [f for f in findings if f.severity == "problem"]


def test_names_that_mean_behaviour() -> None:
    draw = np.random.default_rng(2)
    random = {n: draw.integers(0, 5, ROWS) for n in ("is_share", "dwell_ms", "like_count", "lang")}
    findings = look(log(**random), features=dict.fromkeys(random, "id"))
    found = one(findings, "features", "read like what followed a row: is_share, dwell_ms.")
    assert found.severity == "warning"


@pytest.mark.parametrize(("name", "leaks"), [("before", False), ("whole", True), ("rate", True)])
def test_side_table_counted_over_the_valid_rows(tmp_path: Path, name: str, leaks: bool) -> None:
    draw = np.random.default_rng(3)
    rows, users = 30_000, 1500
    user = draw.integers(0, users, rows)
    click = draw.random(rows) < draw.beta(2, 4, users)[user]
    frame = pl.DataFrame({"time": np.arange(rows), "user": user, "click": click})
    parts = {"before": frame[: rows * 3 // 4], "whole": frame, "rate": frame}
    counted = (
        parts[name]
        .group_by("user")
        .agg(clicks=pl.col("click").mean() if name == "rate" else pl.col("click").sum())
    )
    counted.write_parquet(tmp_path / "users.parquet")
    run = parse(
        {
            "data": {
                "join": [{"table": str(tmp_path / "users.parquet"), "on": "user"}],
                "time": "time",
                "valid": 0.25,
            },
            "features": {"user": "id", "counted": {"kind": "number", "column": "clicks"}},
            "targets": {"click": {"kind": "binary"}},
        }
    )
    found = [f for f in examine(run, frame) if "counted over the valid rows" in f.what]
    assert [(f.severity, f.where) for f in found] == [("warning", "features.counted")] * leaks


def test_even_the_true_rate_is_not_taken_for_a_leak() -> None:
    draw = np.random.default_rng(3)
    for keys, rows, a in ((2000, 20_000, 0.5), (500, 20_000, 5.0), (1000, 5000, 0.2)):
        truth = draw.beta(a, 3 * a, keys + 1)
        key = [draw.integers(1, keys + 1, rows), draw.integers(1, keys + 1, rows // 3)]
        label = [(draw.random(len(k)) < truth[k]).astype(np.float32) for k in key]
        assert excess((key[0], key[1]), (label[0], label[1]), {"truth": truth}) == {}


def test_step_that_did_not_happen() -> None:
    click = log()["click"].to_numpy()
    buy = click * (np.arange(ROWS) % 3 == 0)
    buy[np.flatnonzero(click == 0)[: buy.sum() // 4]] = 1
    targets = {"buy": {"kind": "binary", "given": "click"}}
    found = one(look(log(buy=buy), targets=targets), "targets.buy.given", "20 % of the rows")
    assert found.severity == "problem"
    assert found.advice == 'Leave out given = "click".'


def test_outcome_that_is_not_known_where_its_step_happened() -> None:
    click = log()["click"].to_numpy()
    buy = np.where(click == 1, (np.arange(ROWS) % 4 == 0).astype(float), 0.0)
    targets = {"buy": {"kind": "binary", "given": "click"}}
    known = look(log(buy=buy), targets=targets)
    assert not [f for f in known if "is not known" in f.what]
    buy[(click == 1) & (np.arange(ROWS) % 2 == 1)] = np.nan
    found = one(look(log(buy=buy), targets=targets), "targets.buy.given", "is not known")
    assert found.severity == "warning"
    assert "counts as 0" in found.what
    assert "predicted too low" in found.advice


def test_step_that_may_be_given_and_one_that_may_not() -> None:
    click = log()["click"].to_numpy()
    buy = click * (np.arange(ROWS) % 3 == 0)
    follow = click * (np.arange(ROWS) % 3 == 1)
    follow[np.flatnonzero(click == 0)[: follow.sum() // 4]] = 1
    binary = {"kind": "binary"}
    findings = look(log(buy=buy, follow=follow), targets={"buy": binary, "follow": binary})
    found = one(findings, "targets.buy", "100 % of its positives come with click")
    assert found.severity == "note"
    assert 'given = "click" may help' in found.advice
    found = one(findings, "targets.follow", "without click: follow 20 %")
    assert found.severity == "note"
    assert found.advice == 'Leave it without given = "click".'


def test_rates_over_all_and_by_scene() -> None:
    frame = log(click=log()["place"], like=pl.Series([None, 1, 0, 0] * (ROWS // 4)))
    findings = look(frame, features={"age": "number"})
    one(findings, "targets.click", "by scene feed 0 %, search 100 %", "on valid rows.")
    one(findings, "targets.like", "33.3 % of 2,250 training rows", "25 % not known")
    found = one(findings, "targets.click", "never happens in feed (1,")
    assert (found.severity, "scene = [" in found.advice) == ("warning", True)


def test_target_of_one_scene_is_measured_there() -> None:
    targets = {"click": {"kind": "binary", "scene": "search"}}
    frame = log(click=log()["click"] * log()["place"])
    found = one(look(frame, targets=targets), "targets.click", "training rows")
    assert "scene" not in found.what
    assert "never" not in "".join(f.what for f in look(frame, targets=targets))


def test_target_with_one_value_is_a_problem() -> None:
    assert one(look(log(like=0)), "targets.like", "hold only 0").severity == "problem"
    nothing = pl.Series([None] * ROWS, dtype=pl.Int8)
    assert one(look(log(like=nothing)), "targets.like", "hold no value").severity == "problem"


def test_few_positives_and_a_shift() -> None:
    rare = (np.arange(ROWS) % 100 == 0).astype(int)
    shifted = np.where(np.arange(ROWS) < 3000, np.arange(ROWS) % 10 == 0, np.arange(ROWS) % 3 == 0)
    targets = {"rare": {"kind": "binary"}, "shifted": {"kind": "binary"}}
    findings = look(log(rare=rare, shifted=shifted), targets=targets)
    assert one(findings, "targets.rare", "30 training rows only").severity == "warning"
    assert one(findings, "targets.shifted", "3.34 times").severity == "warning"


def test_columns_and_scenes_that_nothing_names() -> None:
    scenes = {"feed": [0], "search": [7]}
    findings = look(log(unread=1, shop="a"), scenes=scenes)
    one(findings, "data", "Columns that nothing reads (2): unread, shop.")
    one(findings, "scenes", "fall into 'other': 1 (1,")
    found = one(findings, "scenes.search", "No training row is in this scene")
    assert found.severity == "warning"


def test_weights_to_start_from() -> None:
    times = {"often": 2, "rare": 20, "rarest": 2000}
    marks = {name: (np.arange(20_000) % n == 0).astype(int) for name, n in times.items()}
    targets = {name: {"kind": "binary"} for name in times}
    data = {"time": "time", "valid": 0.25}
    run = {"data": data, "features": {"age": "number"}, "targets": targets}
    frame = log(20_000, **marks)
    found = one(examine(parse(run), frame), "targets", "Weights")
    assert "often = 1, rare = 10, rarest = 940." in found.what
    assert "often = 1, rare = 3.2, rarest = 10." in found.advice


def test_blends_say_how_much_they_gain() -> None:
    play = np.arange(ROWS) % 20 + 0.5
    of = {"click": 1, "like": 5, "play": {"weight": 2, "at_least": 10}}
    targets = {"all": {"kind": "blend", "of": of}}
    found = one(look(log(play=play), targets=targets), "targets.all", "have some behaviour")
    assert found.severity == "note"
    of["play"] = {"weight": 2, "at_least": 0.1}
    found = one(look(log(play=play), targets=targets), "targets.all", "100 %")
    assert (found.severity, "at_least" in found.advice) == ("warning", True)


def test_large_logs_are_sampled_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examined_module, "SAMPLE", 2000)
    frame = log(copy=log()["click"])
    findings = look(frame, features={"copy": "id"})
    assert "random sample" in one(findings, "data.valid").what
    one(findings, "features.copy", "click")


def test_stages_labels_not_reached_and_lists() -> None:
    frame = log(tags=pl.Series(["a,b", ""] * (ROWS // 2)))
    frame = frame.with_columns(like=pl.when(pl.col("click") == 1).then("like"))
    run = settings() | {
        "features": {"user": "id", "tags": {"kind": "ids", "separator": ","}},
        "scenes": {"stages": ["list", "page"]},
        "targets": {
            "click": {"kind": "binary", "scene": "list"},
            "like": {"kind": "binary", "scene": "page", "given": "click"},
        },
    }
    findings = examine(parse(run), frame)
    assert {f.severity for f in findings} == {"note"}
    one(findings, "features.tags", "tags 50 %")


def test_data_that_training_could_not_read_is_an_error() -> None:
    with pytest.raises(DataError, match=r"features\.usr.*'user'"):
        look(log(), features={"usr": "id"})


def test_command_prints_groups_or_one_list(tmp_path: Path) -> None:
    log(click=log()["click"], leak=log()["click"]).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "run.toml").write_text(
        '[data]\nlog = "log.parquet"\n[features]\nuser = "id"\nleak = "number"\n'
        "[targets]\nclick = { kind = 'binary' }\n"
    )
    shown = CliRunner().invoke(app, ["check", str(tmp_path / "run.toml")])
    assert shown.exit_code == 0
    first, *_, last = shown.output.split("\n")[:-1]
    assert first == "problem"
    assert "features.leak" in shown.output
    assert last.startswith("1 problem, 0 warnings, ")
    listed = CliRunner().invoke(app, ["check", str(tmp_path / "run.toml"), "--json"])
    findings = json.loads(listed.output)
    assert listed.exit_code == 0
    assert findings[0]["where"] == "features.leak"
    other = ["check", str(tmp_path / "run.toml"), "-s", "targets.like.kind=binary", "--json"]
    named = json.loads(CliRunner().invoke(app, other).output)
    assert "targets.like" in {finding["where"] for finding in named}


KUAIRAND = """
[data]
log = "LOG"
time = "time_ms"
user = "user_id"
valid = "2d"
duplicates = "DUPLICATES"
[features]
user_id = "id"
video_id = "id"
tab = "id"
duration_ms = "number"
play_time_ms = { kind = "number", scale = "log" }
[targets]
click = { kind = "binary", column = "is_click" }
long_view = { kind = "binary", given = "click" }
like = { kind = "binary", column = "is_like", given = "click" }
"""


@pytest.mark.skipif(
    not (DATA / "kuairand/interactions.parquet").exists(),
    reason="KuaiRand is neither under $TRIMTAB_DATA nor under ../shared/data",
)
@pytest.mark.parametrize(
    ("duplicates", "orphans"), [("keep", "17.8 %"), ("drop", "17.6 %")], ids=["kept", "dropped"]
)
def test_kuairand(tmp_path: Path, duplicates: str, orphans: str) -> None:
    text = KUAIRAND.replace("LOG", str(DATA.resolve() / "kuairand/interactions.parquet"))
    (tmp_path / "run.toml").write_text(text.replace("DUPLICATES", duplicates))
    findings = examine(load(tmp_path / "run.toml"))
    one(findings, "data.duplicates", "4,677 of 185,061 rows")
    assert one(findings, "targets.like.given", orphans, "no click").severity == "problem"
    leak = one(findings, "features.play_time_ms", "click (AUC 0.9", "long_view (AUC 0.9")
    assert leak.severity == "problem"
    assert [f.where for f in findings if f.severity == "problem"] == [
        leak.where,
        "targets.like.given",
    ]
