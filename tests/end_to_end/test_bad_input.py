"""Every broken input ends with one message that says where, what and what to do, and no mess.

The exit code is 2 where the input is wrong and 1 where it is not the user's doing. Nothing goes to
stdout, no traceback is shown, and no half-written run is left (``conftest.Desk.refused``).
What can be wrong with a run itself is in ``test_bad_run.py``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

Change = Callable[[pl.DataFrame], pl.DataFrame | bytes]

BLEND = "targets.all.kind = 'blend'\n"
PLACES = "scenes.column = 'place'\nscenes.feed = [0]\n"
STAGES = """
scenes.stages = ['first', 'second']
targets.click.scene = 'first'
targets.like.scene = 'first'
targets.play.scene = 'second'
"""
KINDS = "expected 'amount', 'binary', 'blend', 'duration' or 'number'"

RUN_FILE = {
    "wrong type": (
        "training.epochs = 'three'",
        "run.toml: 1 problem\n  training.epochs: expected a whole number; found 'three'.",
    ),
    "unknown key": (
        "training.epoch = 3",
        "training.epoch: unknown key. Did you mean 'epochs'?",
    ),
    "unknown table": (
        "trainning.epochs = 3",
        "trainning: unknown key. Did you mean 'training'?",
    ),
    "key of another table": (
        "data.epochs = 3",
        "data.epochs: unknown key. Did you mean 'training.epochs'?",
    ),
    "several problems": (
        """
        targets.like.knd = 1
        features.age.kind = 'numbr'
        training.epoch = 3
        training.learning_rate = -1
        """,
        "run.toml: 4 problems"
        "\n  features.age.kind: expected 'id', 'ids' or 'number'; found 'numbr'."
        "\n  targets.like.knd: unknown key. Did you mean 'kind'?"
        "\n  training.learning_rate: expected a number above 0; found -1."
        "\n  training.epoch: unknown key. Did you mean 'epochs'?",
    ),
    "unknown kind of feature": (
        "features.age.kind = 'text'",
        "features.age.kind: expected 'id', 'ids' or 'number'; found 'text'.",
    ),
    "unknown kind of target": (
        "targets.like.kind = 'boolean'",
        f"targets.like.kind: {KINDS}; found 'boolean'.",
    ),
    "no kind of target": (
        "targets.like.kind\ntargets.like.column = 'like'",
        f"targets.like.kind: {KINDS}; it is missing.",
    ),
    "unknown kind of trunk": (
        "trunk.kind = 'mmo'",
        "trunk.kind: expected 'adatt', 'aitm' ... found 'mmo'.",
    ),
    "no target": (
        "targets.click.kind\ntargets.like.kind\ntargets.play.kind",
        "targets: missing; it must be given.",
    ),
    "given of no target": (
        "targets.like.given = 'clik'",
        "targets.like.given: no target named 'clik'. Did you mean 'click'?",
    ),
    "given of a duration": (
        "targets.like.given = 'play'",
        "targets.like.given: 'play' is a duration; expected a binary target.",
    ),
    "cycle of one": (
        "targets.like.given = 'like'",
        "1 problem\n  targets.like.given: a cycle, like <- like; a target cannot come before",
    ),
    "cycle of two": (
        "targets.like.given = 'click'\ntargets.click.given = 'like'",
        "1 problem\n  targets.click.given: a cycle, click <- like <- click",
    ),
    "cycle of three": (
        """
        targets.like.given = 'click'
        targets.click.given = 'stop'
        targets.stop.given = 'like'
        targets.stop.kind = 'binary'
        """,
        "1 problem\n  targets.click.given: a cycle, click <- stop <- like <- click",
    ),
    "names that PyTorch has": (
        "targets.keys.kind = 'binary'\ntargets.training.kind = 'binary'",
        "2 problems ... targets.keys: cannot be used as a name ... column = 'training'",
    ),
    "name with a dot": (
        "targets.'a.b'.kind = 'binary'",
        "targets.a.b: cannot be used as a name; expected letters, digits and _",
    ),
    "name of a prediction": (
        "targets.like.given = 'click'\ntargets.like_given_click.kind = 'binary'",
        "targets.like_given_click: the prediction of 'like' ... choose another",
    ),
    "negative target weight": (
        "targets.like.weight = -1",
        "targets.like.weight: expected a number of 0 or more; found -1.",
    ),
    "NaN target weight": (
        "targets.like.weight = nan",
        "targets.like.weight: expected a finite number; found nan.",
    ),
    "target weights all zero": (
        "targets.click.weight = 0\ntargets.like.weight = 0\ntargets.play.weight = 0",
        "targets: every weight is 0, so there is nothing to learn.",
    ),
    "shares of no feature": (
        "features.friend.kind = 'id'\nfeatures.friend.shares = 'usr'",
        "features.friend.shares: no other feature named 'usr'. Did you mean 'user'?",
    ),
    "shares of a number": (
        "features.friend.kind = 'id'\nfeatures.friend.shares = 'age'",
        "features.friend.shares: 'age' has no table of its own to share.",
    ),
    "value in two scenes": (
        PLACES + "scenes.search = [0, 1]",
        "scenes: value 0 is in both 'feed' and 'search'.",
    ),
    "target in no known scene": (
        PLACES + "targets.like.scene = 'fed'",
        "targets.like.scene: no scene named 'fed'. Did you mean 'feed'?",
    ),
    "scene without scenes": (
        "targets.like.scene = 'feed'",
        "targets.like.scene: no scene named 'feed'. The run file has no [scenes].",
    ),
    "given outside its scene": (
        PLACES + "targets.like.given = 'click'\ntargets.click.scene = 'feed'",
        "targets.like.given: 'click' is not in scene 'other', where 'like' is.",
    ),
    "scene weights all zero": (
        PLACES + "scenes.weights = { feed = 0, other = 0 }",
        "scenes.weights: every weight is 0, so there is nothing to learn.",
    ),
    "stages, and a target in none": (
        STAGES + "targets.like.scene",
        "targets.like.scene: with stages, name one of first, second.",
    ),
    "stage named twice": (
        STAGES + "scenes.stages = ['first', 'second', 'first']",
        "scenes: 'stages' names a stage twice.",
    ),
    "negative weight in a blend": (
        BLEND + "targets.all.of.click = -1",
        "targets.all.of.click: expected a number above 0; found -1.",
    ),
    "unknown key in a blend": (
        BLEND + "targets.all.of.play = { weight = 1, atleast = 3 }",
        "targets.all.of.play.atleast: unknown key. Did you mean 'at_least'?",
    ),
    "raw duration in a blend": (
        BLEND + "targets.all.of.play = 1",
        "targets.all.of.play: 'play' is a quantity; give 'at_least', or 'per' with 'cap'.",
    ),
    "threshold on a click in a blend": (
        BLEND + "targets.all.of.click = { weight = 1, at_least = 1 }",
        "targets.all.of.click: 'click' is 0 or 1; give its weight alone.",
    ),
    "blend of a blend": (
        BLEND + "targets.all.of.click = 1\ntargets.more.kind = 'blend'\ntargets.more.of.all = 1",
        "targets.more.of.all: 'all' is a blend itself; name its behaviours.",
    ),
    "blend with a column": (
        BLEND + "targets.all.of.click = 1\ntargets.all.column = 'click'",
        "targets.all: a blend has neither 'column' nor 'given'; name behaviours in 'of'.",
    ),
    "valid in words": (
        "data.valid = 'two days'",
        "data.valid: expected a stretch of time ('2d', '12h') ... found 'two days'.",
    ),
    "valid of more than all": (
        "data.valid = 1.5",
        "data.valid: fraction: expected a number below 1; found 1.5.",
    ),
    "unset variable": (
        "data.log = '${NO_SUCH_VARIABLE}/log.parquet'",
        "the environment variable NO_SUCH_VARIABLE is not set; set it, or write a default",
    ),
    "no such device": (
        "training.device = 'gpu'",
        "training.device: this machine has no 'gpu'; expected 'auto', 'cpu' or 'cuda'.",
    ),
    "device that cannot compute": (
        "training.device = 'meta'",
        "training.device: this machine has no 'meta'; expected 'auto', 'cpu' or 'cuda'.",
    ),
}


@pytest.mark.parametrize("name", RUN_FILE)
def test_wrong_run_file(name: str, desk: Any) -> None:
    changes, says = RUN_FILE[name]
    desk.run_file(changes)
    desk.refused("train run.toml --out run", says)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"data.log = log.parquet", "run.toml: not valid TOML: Invalid value (at line 1"),
        (b"[data]\nlog = 'a'\n[data]\nlog = 'b'", "run.toml: not valid TOML: ... at line 3"),
        ("data.log = 'é'".encode("latin-1"), "run.toml: not a text file in UTF-8."),
        (b"", "features: missing; it must be given.\n  targets: missing; it must be given."),
    ],
)
def test_run_file_that_is_none(content: bytes, says: str, desk: Any) -> None:
    desk.write("run.toml", content)
    desk.refused("train run.toml --out run", says)


@pytest.mark.parametrize("command", ["train", "check"])
def test_run_file_that_is_not_there(command: str, desk: Any) -> None:
    desk.refused(f"{command} rum.toml", "rum.toml: cannot be read: No such file or directory.")
    desk.refused(f"{command} .", "cannot be read: Is a directory.")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epochs", "-s training.epochs: expected key=value, such as training.epochs=3."),
        ("training.epoch=3", "training.epoch: unknown key. Did you mean 'epochs'?"),
        ("training.epochs=many", "training.epochs: expected a whole number; found 'many'."),
        ("training.epochs.most=3", "-s training.epochs.most=3: 'epochs' is no table"),
    ],
)
def test_wrong_override(override: str, says: str, desk: Any) -> None:
    desk.refused(f"train run.toml --out run -s {override}", says)


# The log, its columns and its side tables


class Wrong(NamedTuple):
    """What is wrong with the data, and what must be said of it."""

    says: str
    changes: str = ""
    log: Change = lambda log: log
    file: tuple[str, pl.DataFrame | str] = ("unused.txt", "")


def columns(**values: Any) -> Change:
    """Return a change that sets whole columns."""
    return lambda log: log.with_columns(
        **{name: v if isinstance(v, pl.Expr) else pl.lit(v) for name, v in values.items()}
    )


def cell(column: str, row: int, value: Any) -> Change:
    """Return a change that puts one value into one row."""

    def change(log: pl.DataFrame) -> pl.DataFrame:
        values = log[column].to_list()
        values[row] = value
        return log.with_columns(pl.Series(column, values, strict=False))

    return change


def cut_short(log: pl.DataFrame) -> bytes:
    log.write_parquet("whole.parquet")
    whole = Path("whole.parquet").read_bytes()
    return whole[: len(whole) // 2]


CSV = "data.log = 'log.csv'"
JOIN = "data.join = [{ table = 'users.parquet', on = 'user' }]"
USERS = pl.DataFrame({"user": range(20), "city": ["x"] * 20})

DATA = {
    "missing": Wrong("lag.parquet: no such file", "data.log = 'lag.parquet'"),
    "named by nothing": Wrong("data.log: no files are named; expected a file", "data.log = ''"),
    "not named": Wrong("data.log: no files are named; expected a file", "data.log"),
    "of an unknown format": Wrong(
        "log.xlsx: expected a file ending in .parquet, ",
        "data.log = 'log.xlsx'",
        file=("log.xlsx", ""),
    ),
    "empty": Wrong("log.parquet: the file is empty.", log=lambda log: b""),
    "header only": Wrong(
        "log.csv: the table has no rows.", CSV, file=("log.csv", "user,age,click,like,play\n")
    ),
    "cut short": Wrong("log.parquet: cannot be read as parquet ... cut short", log=cut_short),
    "CSV in Parquet's name": Wrong(
        "log.parquet: cannot be read as parquet ... of another format than its name says?",
        log=lambda log: log.write_csv().encode(),
    ),
    "of rows of many lengths": Wrong(
        "log.csv: cannot be read as csv", CSV, file=("log.csv", "user,age\n1,2\n1,2,3,4,5\n")
    ),
    "without a feature": Wrong(
        "features.age.column: the data has no column 'agee'. Did you mean 'age'?",
        "features.age.column = 'agee'",
    ),
    "without a label": Wrong(
        "targets.like.column: the data has no column 'is_like'. Did you mean 'like'?",
        "targets.like.column = 'is_like'",
    ),
    "without the user": Wrong(
        "data.user: the data has no column 'usr'. Did you mean 'user'?", "data.user = 'usr'"
    ),
    "without the scenes": Wrong(
        "scenes.column: the data has no column 'plce'. Did you mean 'place'?",
        PLACES + "scenes.column = 'plce'",
    ),
    "without a blend's behaviour": Wrong(
        "targets.all.of.clik ... no column 'clik'. Did you mean 'click'?",
        BLEND + "targets.all.of.clik = 1",
    ),
    "label of 2": Wrong(
        "targets.click: column 'click' holds 2 in row 7 ... expected 0 or 1",
        log=cell("click", 7, 2),
    ),
    "label in words": Wrong(
        "targets.click: column 'verdict' is text such as [' ... positive = \"...\"",
        "targets.click.column = 'verdict'",
    ),
    "positive value that never is": Wrong(
        "targets.click: column 'verdict' ... none of them holds the positive value, 'god'",
        "targets.click.column = 'verdict'\ntargets.click.positive = 'god'",
    ),
    "negative duration": Wrong(
        "targets.play: column 'play' holds -3 in row 7 ... expected finite numbers of 0 or more",
        log=cell("play", 7, -3.0),
    ),
    "all rows in one class": Wrong(
        "targets.click: column 'click' is 1 in all 300 training rows that have a label ... "
        "\ntargets.like: column 'like' is 0 in all 300 ... There is nothing to tell apart.",
        log=columns(click=1, like=0),
    ),
    "all rows in one class where a step happened": Wrong(
        "targets.like: column 'like' is 0 in all 300 training rows that have a label; where "
        "'click' did not happen it counts as 0. There is nothing to tell apart.",
        "targets.like.given = 'click'",
        log=columns(like=0),
    ),
    "no label at all": Wrong(
        "targets.like: no training row has a label in 'like'.",
        log=columns(like=pl.lit(None, dtype=pl.Int64)),
    ),
    "no label in a target's scene": Wrong(
        "targets.like: no training row of its scenes has a label in 'like'.",
        PLACES + "targets.like.scene = 'feed'",
        log=columns(like=pl.when(pl.col("place") > 0).then("like")),
    ),
    "infinite feature": Wrong(
        "features.age: row 350 is inf; expected finite numbers.", log=cell("age", 350, float("inf"))
    ),
    "text for a number": Wrong(
        "features.verdict: kind 'number' expects numbers, found String ... kind 'id'?",
        "features.verdict.kind = 'number'",
    ),
    "text for a list": Wrong(
        "features.tags: kind 'ids' expects a column of lists ... separator = \",\"",
        "features.tags.kind = 'ids'",
    ),
    "NaN row weight": Wrong(
        "data.row_weight: column 'importance' holds nan in row 7 ... finite weights of 0 or more",
        "data.row_weight = 'importance'",
        log=cell("importance", 7, float("nan")),
    ),
    "negative row weight": Wrong(
        "targets.like.row_weight: column 'importance' holds -1 in row 7",
        "targets.like.row_weight = 'importance'",
        log=cell("importance", 7, -1.0),
    ),
    "row weights all zero": Wrong(
        "data.row_weight: 0 in all 300 training rows; there is nothing to learn.",
        "data.row_weight = 'importance'",
        log=columns(importance=0.0),
    ),
    "duplicate keys": Wrong(
        "data.join[0]: ... users.parquet has 10 keys more than once, such as user = ",
        JOIN,
        file=("users.parquet", USERS.with_columns(pl.col("user") // 2)),
    ),
    "keys of another type": Wrong(
        "data.join[0]: ... 'user' is String here and Int64 in the log ... Store it as one type",
        JOIN,
        file=("users.parquet", USERS.cast({"user": pl.String})),
    ),
    "no key": Wrong(
        "data.join[0].on ... the data has no column 'user'. Did you mean 'user_id'?",
        JOIN,
        file=("users.parquet", USERS.rename({"user": "user_id"})),
    ),
    "clashing columns": Wrong(
        "data.join[0]: ... users.parquet and the log both have age. ... or give a prefix.",
        JOIN,
        file=("users.parquet", USERS.rename({"city": "age"})),
    ),
    "split without training rows": Wrong(
        "data.valid: last = 90 days leaves no training rows of 400; hold out less.",
        "data.valid = '90d'\ndata.time = 'time'",
    ),
    "split without valid rows": Wrong(
        "data.valid: fraction = 0.0001 leaves no valid rows of 400; hold out more.",
        "data.valid = 0.0001",
    ),
    "split by time without a time": Wrong(
        "data.valid: a split by time needs data.time, the column with the time.",
        "data.valid = '2d'",
    ),
    "time of nonsense": Wrong(
        "data.time: 'verdict' holds text such as ' ... expected ISO 8601 times.",
        "data.valid = '2d'\ndata.time = 'verdict'",
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_wrong_log(name: str, desk: Any) -> None:
    wrong = DATA[name]
    desk.run_file(wrong.changes)
    desk.write("log.parquet", wrong.log(desk.log))
    desk.write(*wrong.file)
    desk.refused("train run.toml --out run", wrong.says)
    assert not Path("run").exists()


def test_wrong_arguments_of_init(desk: Any) -> None:
    desk.refused("init log.parquet", "run.toml: exists already; name another file with -o")
    desk.refused("init log.parquet -o new.toml --targets clik", "'clik'. Did you mean 'click'?")
    desk.refused("init none.parquet -o new.toml", "none.parquet: no such file")
    desk.refused("init log.parquet -o no/new.toml", "the folder no does not exist; make it first.")
    assert not Path("new.toml").exists()
