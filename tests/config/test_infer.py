"""A run file inferred from a log loads, its data prepares, and each guess is the sensible one."""

import csv
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab import cli
from trimtab.config.guess import names
from trimtab.config.guess.column import Column
from trimtab.config.guess.text import value
from trimtab.config.infer import infer
from trimtab.config.load import load, parse
from trimtab.data.prepare import Prepared, prepare
from trimtab.errors import InputError
from trimtab.trunks import trunks

DATA = Path(os.environ.get("TRIMTAB_DATA") or Path(__file__).parents[2] / "../shared/data")
ROWS = 2000
DAY = 86_400

Made = tuple[dict[str, Any], str]
Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Infer from a frame or a CSV's text, load the result and prepare its data."""

    def made(log: Any, targets: list[str] | None = None) -> Made:
        path = tmp_path / ("the log.csv" if isinstance(log, str) else "the log.parquet")
        if isinstance(log, str):
            path.write_bytes(log.encode())
        else:
            pl.DataFrame(log).write_parquet(path)
        text = infer(str(path), targets, tmp_path)
        (tmp_path / "run.toml").write_text(text, encoding="utf-8")
        prepared = prepare(load(tmp_path / "run.toml").plan())
        assert isinstance(prepared, Prepared)
        return tomllib.loads(text), text

    return made


def feed(rows: int = ROWS, **more: Any) -> dict[str, Any]:
    """A log of twelve days with everything that a feed may have."""
    draw = np.random.default_rng(0)
    user, video = draw.integers(0, 90, rows), draw.integers(0, 70, rows)
    click = draw.random(rows) < 0.4
    day = np.sort(draw.integers(0, 12, rows))
    return {
        "user_id": user + 10**9,
        "video_id": [f"v{v}" for v in video],
        "time_ms": (1_700_000_000 + day * DAY + draw.integers(0, DAY, rows)) * 1000,
        "date": [20231114 + int(d) for d in day],
        "request_id": [f"r{i}" for i in range(rows)],
        "duration_ms": (video * 997 % 60_000).astype(np.int64),
        "author": video % 60 + 5000,
        "price": np.exp(draw.normal(0, 1, 70))[video],
        "score_a": draw.normal(size=rows),
        "spend_30d": np.where(draw.random(rows) < 0.8, 0, draw.integers(1, 999, rows)),
        "tags": ["|".join(f"t{k}" for k in range(v % 4)) for v in video],
        "hour": draw.integers(0, 24, rows),
        "tab": draw.choice([0, 1, 2], rows, p=[0.7, 0.2, 0.1]),
        "is_new_user": user % 2,
        "is_click": click.astype(int),
        "long_view": (click & (draw.random(rows) < 0.5)).astype(int),
        "is_like": (draw.random(rows) < 0.02).astype(int),
        "is_hate": np.zeros(rows, dtype=int),
        "play_time_ms": np.where(draw.random(rows) < 0.8, draw.integers(1, 90_000, rows), 0),
        "comment_stay_time": np.where(draw.random(rows) < 0.01, 5, 0),
        "rating": draw.integers(1, 6, rows),
        "sample_weight": draw.random(rows),
        "title": [f"A long story of number {v}, and more" for v in draw.random(rows)],
        "constant": "x",
        "empty": pl.Series([None] * rows, dtype=pl.String),
        **more,
    }


def test_a_feed(make: Make) -> None:
    found, text = make(feed())
    assert found["data"] == {
        "log": "the log.parquet", "time": "time_ms", "user": "user_id", "valid": "1d"
    }  # fmt: skip
    assert found["features"] == {
        "user_id": "id",
        "video_id": "id",
        "duration_ms": {"kind": "number", "scale": "quantile"},
        "author": "id",
        "price": {"kind": "number", "scale": "quantile"},
        "score_a": "number",
        "spend_30d": {"kind": "number", "scale": "quantile", "buckets": 256},
        "tags": {"kind": "ids", "separator": "|"},
        "hour": "id",
        "tab": "id",
        "is_new_user": "id",
    }
    assert found["targets"] == {
        "click": {"kind": "binary", "column": "is_click"},
        "long_view": {"kind": "binary", "given": "click"},
        "like": {"kind": "binary", "column": "is_like", "weight": 5.0},
        "play": {"kind": "duration", "column": "play_time_ms", "unit": "ms"},
    }
    for reason in (
        "date +moves with the time",
        "request_id +names a request",
        "is_hate +one value in every row",
        "comment_stay_time +a behaviour, over 0 in",
        "rating +a behaviour, known only afterwards",
        "sample_weight +looks like a weight",
        "title +free text",
        "constant +one value",
        "empty +empty",
    ):
        assert re.search(f"^#   {reason}", text, re.MULTILINE), reason


def test_every_trunk_takes_its_own_widths(make: Make, tmp_path: Path) -> None:
    make(feed())
    for kind in trunks:
        found = load(tmp_path / "run.toml", [f"trunk.kind={kind}"]).trunk
        assert found == trunks[kind](kind=kind)


def test_the_scenes_that_are_suggested_can_be_used_as_they_are(make: Make) -> None:
    _, text = make(feed(page=np.tile(["home", "weights", "pop", "für dich"], ROWS // 4)))
    assert "[scenes]" not in [line.strip() for line in text.splitlines()]
    start = text.index("# [scenes]")
    block = text[start : text.index("\n\n", start)].replace("# ", "", 1).replace("\n# ", "\n")
    scenes = tomllib.loads(block)["scenes"]
    assert scenes == {"column": "tab", "tab_0": [0], "tab_1": [1], "tab_2": [2]}
    rest = text[:start] + text[text.index("\n\n", start) :]
    parse(tomllib.loads(rest + block))
    del_tab = {name: column for name, column in feed().items() if name != "tab"}
    pages = np.tile(["home", "weights", "pop", "für dich"], ROWS // 4)
    _, text = make(del_tab | {"page": pages})
    for line in ("home", "page_weights", "page_pop", "f_r_dich"):
        assert re.search(rf"^# {line} += \[", text, re.MULTILINE)


def test_targets_by_name(make: Make) -> None:
    found, _ = make(feed(), ["is_click", "stars=rating", "tab:2", "duration_ms"])
    assert found["targets"] == {
        "click": {"kind": "binary", "column": "is_click"},
        "stars": {"kind": "number", "column": "rating"},
        "tab": {"kind": "binary", "positive": 2},
        "duration": {"kind": "duration", "column": "duration_ms", "unit": "ms"},
    }
    assert not {"is_like", "play_time_ms", "long_view", "tab"} & set(found["features"])


def test_one_column_may_be_several_targets(make: Make) -> None:
    state = np.random.default_rng(0).choice(["married", "never married", "single"], ROWS)
    found, _ = make({"x": np.arange(ROWS) % 9, "state": state}, ["state:married", "state:single"])
    assert found["targets"] == {
        "state": {"kind": "binary", "positive": "married"},
        "state_single": {"kind": "binary", "column": "state", "positive": "single"},
    }


def test_text_of_many_values_is_no_target_by_itself(make: Make) -> None:
    log = {"x": np.arange(600) % 9, "price": [f"{i % 150}.5 EUR" for i in range(600)]}
    with pytest.raises(InputError, match=r"'price' is text of 150 values.*\(price:VALUE\)"):
        make(log, ["price"])
    found, _ = make(log, ["price:3.5 EUR"])
    assert found["targets"]["price"] == {"kind": "binary", "positive": "3.5 EUR"}


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["a", "b", "b"], {"kind": "binary", "positive": "a"}),
        (["c", "b", "b", "d"], {"kind": "binary", "positive": "b"}),
        (["Y", "N", "Y"], "binary"),
        (["f", "t", None], "binary"),
        (["True", "False", "False"], "binary"),
        ([1.0, None, 0.0], "binary"),
        ([True, False], "binary"),
        ([1, 2, 2], {"kind": "binary", "positive": 2}),
        ([1.5, 2.5, 9.0], "number"),
        ([timedelta(seconds=1), timedelta(seconds=9)], {"kind": "duration", "unit": "s"}),
    ],
    ids=str,
)
def test_kinds_of_targets(make: Make, values: list[Any], settings: Any) -> None:
    log = {"x": np.arange(600) % 9, "happened": [values[i % len(values)] for i in range(600)]}
    found, _ = make(log, ["happened"])
    assert found["targets"]["happened"] == settings


@pytest.mark.parametrize(
    ("column", "high", "settings"),
    [
        ("dwell", 30, {"kind": "duration", "unit": "s"}),
        ("watch_seconds", 30, {"kind": "duration", "column": "watch_seconds", "unit": "s"}),
        ("playTimeMs", 30, {"kind": "duration", "column": "playTimeMs", "unit": "ms"}),
        ("play time", 90_000, {"kind": "duration", "column": "play time", "unit": "ms"}),
        ("Listened (min)", 30, {"kind": "number", "column": "Listened (min)"}),
    ],
)
def test_durations_and_their_units(make: Make, column: str, high: int, settings: Any) -> None:
    amounts = np.random.default_rng(0).integers(0, high, ROWS)
    found, _ = make({"x": np.arange(ROWS) % 9, column: amounts}, [column])
    assert [*found["targets"].values()] == [settings]


def test_later_steps_of_a_funnel_may_be_missing(make: Make) -> None:
    click = np.arange(ROWS) % 3 == 0
    like = [int(i % 7 == 0) if c else None for i, c in enumerate(click)]
    play = [float(i % 50) if c else None for i, c in enumerate(click)]
    found, text = make({"x": np.arange(ROWS) % 9, "click": click, "like": like, "play": play})
    assert found["targets"]["like"] == {"kind": "binary", "given": "click"}
    assert found["targets"]["play"] == {"kind": "duration", "unit": "s", "given": "click"}
    assert re.search(r"^like .* 66\.\d % missing$", text, re.MULTILINE)


def shop(*columns: str) -> dict[str, Any]:
    """A shop's log: what it may tell of a purchase, of which the asked columns are kept."""
    draw = np.random.default_rng(0)
    user, item = draw.integers(0, 90, ROWS), draw.integers(0, 40, ROWS)
    price = np.round(np.exp(draw.normal(3, 1, 40)), 2)[item]
    click = draw.random(ROWS) < 0.5
    buy = click & (draw.random(ROWS) < 0.2)
    paid = np.where(buy, price * draw.integers(1, 3, ROWS), 0)
    known = {
        "click": click.astype(int),
        "buy": buy.astype(int),
        "order_value": paid,
        "revenue": [float(p) if b else None for p, b in zip(paid, buy, strict=True)],
        "gmv": price,
        "payment": [float(p) if i % 3 else None for p, i in zip(price, item, strict=True)],
        "coupon_amount": np.where(draw.random(ROWS) < 0.1, draw.integers(1, 99, ROWS), 0),
        "avg_order_value": np.where(draw.random(ROWS) < 0.1, draw.random(ROWS), 0),
    }
    always = {"user_id": user, "item_id": item, "price": price}
    return always | {name: known[name] for name in columns}


def test_money_that_was_spent_on_few_rows_is_an_amount(make: Make) -> None:
    found, text = make(shop("click", "buy", "order_value"))
    assert found["targets"]["order_value"] == {"kind": "amount", "given": "buy"}
    assert found["features"]["price"] == {"kind": "number", "scale": "quantile"}
    found, text = make(shop("click", "buy", "revenue"))
    assert found["targets"]["revenue"] == {"kind": "amount", "given": "buy"}
    assert re.search(r"^revenue .* % missing, 0 where buy did not happen$", text, re.MULTILINE)
    found, text = make(shop("click", "revenue"))
    assert found["targets"]["revenue"] == {"kind": "amount", "given": "click"}
    assert "0 where click did not happen, elsewhere not known: the log has to say 0" in text
    found, text = make(shop("revenue"))
    assert found["targets"] == {"revenue": "amount"}
    assert "% missing, not known: the log has to say 0 where nothing was spent" in text
    found, _ = make(shop("click", "gmv"), ["gmv"])
    assert found["targets"] == {"gmv": "amount"}


@pytest.mark.parametrize("column", ["gmv", "payment", "coupon_amount", "avg_order_value"])
def test_money_that_is_known_before_is_no_amount(make: Make, column: str) -> None:
    found, _ = make(shop("click", column))
    assert list(found["targets"]) == ["click"]
    assert found["features"][column]["kind"] == "number"


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["is_clik"], ["no column 'is_clik'", "is_click"]),
        (["nothing", "constant"], ["no column 'nothing'", "'constant' holds only 'x'"]),
        (["empty"], ["holds only missing values"]),
        (["tab:9"], ["no value '9'", "Known: 0, 1, 2"]),
        (["forward=is_click"], ["'forward' cannot name a target"]),
        (["a=is_click", "a=is_like"], ["'a' cannot name a target"]),
    ],
    ids=str,
)
def test_targets_that_cannot_be(make: Make, targets: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        make(feed(), targets)
    for word in words:
        assert word in str(error.value)


def test_a_log_without_behaviours_lists_what_could_be_a_target(make: Make) -> None:
    with pytest.raises(InputError, match=r"--targets.*: sex, age, score\.") as error:
        make({"age": np.arange(ROWS) % 70, "sex": ["f", "m"] * 1000, "score": np.arange(ROWS) / 7})
    assert error.value.exit_code == 2


def test_a_log_with_nothing_to_predict_from_says_why(make: Make) -> None:
    with pytest.raises(InputError, match="no column is left to predict from.\n  key: another"):
        make({"key": np.arange(ROWS), "click": np.arange(ROWS) % 2})


def test_exact_copies_are_dropped_and_counted(make: Make) -> None:
    frame = pl.DataFrame(feed(), strict=False)
    found, text = make(pl.concat([frame, frame.head(50)]))
    assert found["data"]["duplicates"] == "drop"
    assert "50 exact copies of rows (2.4 %)" in text
    few = {"x": np.arange(ROWS) % 9, "click": np.arange(ROWS) % 2}
    assert make(few)[0]["data"]["duplicates"] == "keep"


@pytest.mark.parametrize(
    ("name", "times", "valid"),
    [
        ("ts", 1_700_000_000 + np.arange(ROWS) * (3 * DAY) // ROWS, 0.1),
        ("ts", 1_700_000_000 + np.arange(ROWS) * (6 * DAY) // ROWS, "1d"),
        ("eventTime", (1_700_000_000 + np.arange(ROWS) * (30 * DAY) // ROWS) * 1000, "4d"),
        ("created_at", [f"2024-01-{i // 100 + 1:02d} 10:00:00" for i in range(ROWS)], "2d"),
        ("day", [date(2024, 1, 1) + timedelta(days=i // 100) for i in range(ROWS)], "2d"),
        ("timestamp", np.arange(ROWS) * 7, 0.1),
    ],
    ids=["3 days", "6 days", "30 days", "text", "dates", "a counter"],
)
def test_times(make: Make, name: str, times: Any, valid: Any) -> None:
    found, _ = make({"x": np.arange(ROWS) % 9, name: times, "click": np.arange(ROWS) % 2})
    assert found["data"]["time"] == name
    assert found["data"]["valid"] == valid
    assert [*found["features"]] == ["x"]


def test_days_that_no_reader_of_times_understands_are_held_out_by_value(make: Make) -> None:
    log = {"x": np.arange(ROWS) % 9, "click": np.arange(ROWS) % 2}
    days = [f"01/{i // 100 + 11}/2024" for i in range(ROWS)]
    found, _ = make(log | {"Date": days})
    assert found["data"]["valid"] == {"column": "Date", "values": ["01/29/2024", "01/30/2024"]}
    found, _ = make(log | {"date": [20240111 + i // 100 for i in range(ROWS)]})
    assert found["data"]["valid"] == {"column": "date", "values": [20240129, 20240130]}
    found, _ = make(log | {"hour": [14102100 + i // 100 for i in range(ROWS)]})
    assert found["data"]["valid"] == {"column": "hour", "values": [14102118, 14102119]}


def test_a_time_that_is_missing_somewhere_is_not_used(make: Make) -> None:
    times = [None if i % 10 == 0 else 1_700_000_000 + i for i in range(ROWS)]
    found, text = make({"x": np.arange(ROWS) % 9, "ts": times, "click": np.arange(ROWS) % 2})
    assert "time" not in found["data"]
    assert "'ts' is missing in 10.0 % of the rows" in text


def test_a_column_that_gives_the_target_away_is_left_out(make: Make) -> None:
    click = np.arange(ROWS) % 5 == 0
    log = {"x": np.arange(ROWS) % 9, "click": click, "state": np.where(click, "done", "open")}
    found, text = make(log)
    assert [*found["features"]] == ["x"]
    assert "alone it tells click apart (AUC 1.000): a suspected leak" in text
    del log["x"]
    assert [*make(log)[0]["features"]] == ["state"]


def test_lists_of_items_share_the_table_of_items(make: Make) -> None:
    draw = np.random.default_rng(0)
    seen = [list(map(str, draw.integers(0, 200, 5))) for _ in range(ROWS)]
    log = {"item_id": draw.integers(0, 200, ROWS), "seen": seen, "click": np.arange(ROWS) % 2}
    assert make(log)[0]["features"]["seen"] == {"kind": "ids", "shares": "item_id"}


def test_sessions_group_rows_where_there_is_no_user(make: Make) -> None:
    log = {
        "x": np.arange(ROWS) % 9,
        "Session ID": np.arange(ROWS) // 5,
        "click": np.arange(ROWS) % 2,
    }
    found, _ = make(log)
    assert found["data"]["user"] == "Session ID"
    assert [*found["features"]] == ["x"]


def rows_of(columns: Mapping[str, Any], separator: str = ",") -> str:
    """Write a CSV as a spreadsheet would."""
    lines = [columns, *zip(*columns.values(), strict=True)]
    quoted = [
        [f'"{cell}"' if separator in str(cell) else str(cell) for cell in line] for line in lines
    ]
    return "\r\n".join(separator.join(line) for line in quoted) + "\r\n"


def test_a_csv_of_another_country(make: Make) -> None:
    many = range(ROWS)
    text = rows_of(
        {
            "User ID": [i % 70 for i in many],
            "Category; Name": [["Home; Garden", "Größe", "a, b"][i % 7 % 3] for i in many],
            "Price €": [f"{i % 300 / 7:.2f}".replace(".", ",") for i in many],
            "Upload.Date": [f"{i % 28 + 1:02d}/01/2023" for i in many],
            "Event Date": [f"2024-01-{i // 100 + 1:02d}" for i in many],
            "Stock": ["?" if i % 9 == 0 else i * 7 % 900 for i in many],
            "Empty": ["" for _ in many],
            "Is Click": [str(i % 3 == 0) for i in many],
            "Bought?": ["" if i % 10 == 0 else int(i % 6 == 0) for i in many],
        },
        ";",
    )
    found, said = make("\ufeff" + text)
    assert found["data"] == {
        "log": "the log.csv", "time": "Event Date", "user": "User ID", "valid": "2d"
    }  # fmt: skip
    assert found["features"] == {
        "User ID": "id",
        "Category; Name": "id",
        "Price €": "number",
        "Upload.Date": "id",
        "Stock": {"kind": "number", "scale": "quantile"},
    }
    assert found["targets"] == {
        "click": {"kind": "binary", "column": "Is Click"},
        "bought": {"kind": "binary", "column": "Bought?", "given": "click"},
    }
    assert "10.0 % missing" in said


def test_a_small_csv_without_user_time_or_ids(make: Make) -> None:
    draw = np.random.default_rng(0)
    rows = range(300)
    found, text = make(
        rows_of(
            {
                "": [*rows],
                "title": [f"The {i} of us, or nobody" for i in rows],
                "sku": [f"s{i * 7919 % 99991}" for i in rows],
                "amount": [f"{v:,.2f}" for v in draw.exponential(5000, 300)],
                "x": draw.normal(size=300).round(4),
                "group": [i % 7 for i in rows],
                "converted": ["" if i % 10 == 3 else i % 2 for i in rows],
            }
        )
    )
    assert found["data"] == {"log": "the log.csv", "valid": 0.1}
    assert found["features"] == {"x": "number", "group": "id"}
    assert found["targets"] == {"converted": "binary"}
    assert found["training"]["batch_rows"] == 32
    assert "numbers written as text" in text


def test_a_wide_log_of_anonymous_columns(make: Make) -> None:
    draw = np.random.default_rng(0)
    wide = {f"I{i}": draw.exponential(100, ROWS).astype(int) for i in range(25)}
    wide |= {f"C{i}": draw.integers(0, 10**9, ROWS) % 977 for i in range(25)}
    wide |= {f"f {i}": draw.normal(size=ROWS) for i in range(10)}
    found, _ = make(wide | {"label": np.arange(ROWS) % 4 == 0})
    assert {str(found["features"][f"C{i}"]) for i in range(25)} == {"id"}
    assert found["features"]["I3"] == {"kind": "number", "scale": "quantile"}
    assert found["features"]["f 7"] == "number"


def test_types_that_only_files_with_types_have(make: Make) -> None:
    found, text = make(
        {
            "lists": [[i % 5, i % 7] for i in range(ROWS)],
            "kind": pl.Series([f"k{i % 5}" for i in range(ROWS)], dtype=pl.Categorical),
            "ago": [timedelta(seconds=i) for i in range(ROWS)],
            "born": [date(1950, 1, 1) + timedelta(days=i * 9 % 9999) for i in range(ROWS)],
            "pair": [{"a": i} for i in range(ROWS)],
            "far": [float("inf") if i == 7 else i / 7 for i in range(ROWS)],
            "ok": pl.Series([i % 13 for i in range(ROWS)], dtype=pl.Decimal(10, 2)),
            "did_buy": pl.Series(["no", "yes"] * (ROWS // 2), dtype=pl.Categorical),
        },
        ["did_buy"],
    )
    assert found["features"] == {
        "lists": "ids",
        "kind": "id",
        "ago": {"kind": "number", "scale": "quantile"},
        "born": {"kind": "number", "scale": "quantile"},
        "ok": "id",
    }
    assert found["targets"] == {"buy": {"kind": "binary", "column": "did_buy", "positive": "yes"}}
    assert "pair  of type Struct" in text
    assert "far   holds infinities" in text


def test_the_log_is_named_from_the_folder_of_the_run_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "runs").mkdir()
    for part in (1, 2):
        pl.DataFrame(feed()).write_parquet(tmp_path / f"logs/{part}.parquet")
    for log in ("logs", "logs/*.parquet", "logs/1.parquet"):
        text = infer(str(tmp_path / log), ["click"], tmp_path / "runs")
        assert tomllib.loads(text)["data"]["log"] == f"../{log}"


@pytest.mark.parametrize(
    "found", [1, 2.5, True, "a", 'q"\\\n\x7fü', [1, "x"], {"a b": [1], "c": {"d": False}}], ids=str
)
def test_values_are_written_in_toml(found: Any) -> None:
    assert tomllib.loads(f"key = {value(found)}") == {"key": found}


def test_names_are_split_into_words() -> None:
    for name in ("user_id", "userId", "UserID", "User ID", " USER-ID ", "user.id"):
        assert names.words(name) == ("user", "id")
    assert names.short(("is", "click")) == "click"
    assert names.short(("play", "time", "ms"), duration=True) == "play"


@pytest.mark.parametrize(
    ("values", "separator"),
    [
        (["a|b", "b", "c|a", "a|b|c", "c"], "|"),
        (["1, 2", "2", "3, 1, 2", "3", "1, 3"], ","),
        (["n1 n2", "n2 n3 n1", "n3 n1", "n2", "n1 n3 n2"], " "),
        (["Never married", "Married", "Never"], None),
        (["Paris, France", "Rome, Italy", "Bonn, Germany"], None),
        (["2024-01-31", "2024-02-01", "2024-03-01"], None),
    ],
    ids=str,
)
def test_separators_of_lists(values: list[str], separator: str | None) -> None:
    assert Column(pl.Series("x", values * 20)).separator == separator


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run a command in this process; return its exit code."""
    monkeypatch.setattr("sys.argv", ["trimtab", *map(str, words)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    code = leaving.value.code
    return code if isinstance(code, int) else 0


def test_the_command_writes_a_file_that_trains_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(feed(600)).write_parquet("log.parquet")
    assert command(monkeypatch, "init", "log.parquet", "--targets", "is_click,play_time_ms") == 0
    said = capsys.readouterr().out
    assert "trimtab check run.toml" in said
    assert "trimtab train run.toml" in said
    assert "click (binary)" in said
    assert [path.name for path in tmp_path.iterdir()].count("run.toml") == 1
    assert not [path.name for path in tmp_path.iterdir() if "writing" in path.name]

    before = Path("run.toml").read_text(encoding="utf-8")
    assert command(monkeypatch, "init", "log.parquet") == 2
    assert "exists already" in capsys.readouterr().err
    assert Path("run.toml").read_text(encoding="utf-8") == before

    one = ("-s", "training.epochs=1", "-s", "training.evaluations=1")
    assert command(monkeypatch, "train", "run.toml", "--out", "run", *one) == 0
    assert Path("run/metrics.json").exists()


def test_a_target_that_is_not_there_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("log.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["x", "clicked"], *([i % 9, i % 2] for i in range(90))])
    assert command(monkeypatch, "init", "log.csv", "--targets", "clickd", "-o", "r.toml") == 2
    assert "Did you mean 'clicked'?" in capsys.readouterr().err
    assert command(monkeypatch, "init", "nowhere.csv") == 2
    assert command(monkeypatch, "init", "log.csv", "-o", "nowhere/r.toml") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is neither under $TRIMTAB_DATA nor under ../shared/data")
    return path


def test_kuairand(tmp_path: Path) -> None:
    text = infer(str(real("kuairand/interactions.parquet")), relative_to=tmp_path)
    found = tomllib.loads(text)
    del found["data"]["log"]
    assert found["data"] == {
        "time": "time_ms", "user": "user_id", "valid": "2d", "duplicates": "drop"
    }  # fmt: skip
    assert [*found["features"]] == ["user_id", "video_id", "hourmin", "duration_ms", "tab"]
    targets = found["targets"]
    assert targets["long_view"] == {"kind": "binary", "given": "click"}
    assert targets["play"] == {"kind": "duration", "column": "play_time_ms", "unit": "ms"}
    assert targets["like"] == {"kind": "binary", "column": "is_like", "weight": 5.0}
    assert {"click", "follow", "comment", "is_forward", "hate", "profile_enter"} < set(targets)
    assert "4,677 exact copies" in text
    assert '# column = "tab"' in text


def test_census(tmp_path: Path) -> None:
    log = str(real("census/train.parquet"))
    text = infer(log, ["income_50k", "marital_stat"], tmp_path)
    found = tomllib.loads(text)
    assert found["targets"] == {
        "income_50k": {"kind": "binary", "positive": "50000+."},
        "marital_stat": {"kind": "binary", "positive": "Never married"},
    }
    codes = ("det_ind_code", "det_occ_code", "own_or_self", "vet_benefits", "year")
    assert {str(found["features"][name]) for name in codes} == {"id"}
    assert found["features"]["age"] == {"kind": "number", "scale": "quantile"}
    assert "instance_weight" not in found["features"]
    assert len(found["features"]) == 39
