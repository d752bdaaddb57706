"""One id a row: missing, unseen and rare values to rows of their own."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data.id import IdSettings
from trimtab.data.vocabulary import FIRST, MISSING, UNSEEN


def rows(train: list[Any], new: list[Any], **settings: Any) -> list[int]:
    """Return the table rows of new values."""
    learnt = IdSettings(**settings).learn(pl.Series("user", train), None)
    (column,) = learnt.encode(pl.Series("user", new)).ids.values()
    assert column.dtype == np.int32
    assert column.max() < learnt.rows
    listed: list[int] = column.tolist()
    return listed


def test_missing_unseen_and_rare_values() -> None:
    train = ["a", "a", "a", "b", "b", "rare", None]
    new = ["a", "b", "rare", "new", None]
    assert rows(train, new) == [FIRST, FIRST + 1, UNSEEN, UNSEEN, MISSING]
    assert rows(train, new, least_rows=1)[2] == FIRST + 2
    assert rows(train, new, least_rows=3)[:2] == [FIRST, UNSEEN]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_null_and_nan_are_both_missing(missing: Any) -> None:
    assert rows([1.0, 1.0, missing], [missing, 1.0, 2.0]) == [MISSING, FIRST, UNSEEN]
    assert rows([1, 1], [missing, 1.0, 0.5]) == [MISSING, FIRST, UNSEEN]


def test_a_column_that_misses_everything() -> None:
    assert rows([None, None], [None, 1]) == [MISSING, UNSEEN]
    assert rows([1, 1], [None, None]) == [MISSING, MISSING]


def test_booleans() -> None:
    assert rows([True, True, True, False, False], [False, True, None]) == [3, 2, MISSING]


def test_a_feature_that_shares_uses_the_vocabulary_of_the_other() -> None:
    owner = IdSettings().learn(pl.Series("item", [5, 5, 8, 8, 8]), None)
    settings = IdSettings(shares="item")
    shared = settings.learn(pl.Series("last_item", ["5", "99"]), owner.vocabulary)
    encoded = shared.encode(pl.Series("last_item", ["8", "5", "99", None]))
    assert encoded.ids["last_item"].tolist() == [2, 3, UNSEEN, MISSING]
    assert settings.vocabulary(shared) is None
    assert settings.table("last_item") == "item"
    assert IdSettings().table("item") == "item"
    assert IdSettings().vocabulary(owner) is owner.vocabulary


def test_what_was_learnt_comes_back_from_its_state() -> None:
    learnt = IdSettings().learn(pl.Series("user", ["x", "x", "y", "y"]), None)
    again = IdSettings().restore(learnt.state(), learnt.vocabulary)
    new = pl.Series("user", ["y", "x", None, "z"])
    assert again.encode(new).ids["user"].tolist() == learnt.encode(new).ids["user"].tolist()
    assert again.describe() == "2 values"
