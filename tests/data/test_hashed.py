"""Hashed ids: the hash is the same for ever, and collisions are counted as they are."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab.config.load import parse
from trimtab.data import hashed as hashed_module
from trimtab.data.feature import FeatureSettings
from trimtab.data.hashed import BLOCK, Hashed, hash64
from trimtab.data.statistics import Statistics
from trimtab.data.vocabulary import FIRST, MISSING

GOLDEN = {
    "": 17665956581633026203,
    "a": 198367012849983736,
    "12": 16058232639165856006,
    "user_字": 576775769520640536,
}


def slow_hash(text: str) -> int:
    """Return the hash one byte at a time."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def test_the_hash_is_the_same_for_ever() -> None:
    assert hash64(pl.Series(list(GOLDEN))).tolist() == list(GOLDEN.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=20))
def test_hashing_equals_a_byte_at_a_time(texts: list[str]) -> None:
    found = hash64(pl.Series(texts, dtype=pl.String)).tolist()
    assert found == [slow_hash(text) for text in texts]


def test_blocks_do_not_show() -> None:
    texts = pl.Series([str(i % 1000) for i in range(BLOCK + 7)])
    assert hash64(texts)[-7:].tolist() == hash64(texts[-7:]).tolist()


@pytest.mark.parametrize("most", [1, 5, 16])
def test_no_more_text_is_joined_than_a_block_may_have(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    texts = pl.Series(["", "ab", None, "user_字", "a", "b", "0123456789", "", None])
    whole = hash64(texts)
    joined: list[int] = []
    monkeypatch.setattr(hashed_module, "BLOCK_BYTES", most)
    monkeypatch.setattr(hashed_module, "_fnv1a", seen_by(joined, hashed_module._fnv1a))
    assert hash64(texts).tolist() == whole.tolist()
    assert sum(joined) == 22
    assert max(joined) <= max(most, len("0123456789"))


def seen_by(sizes: list[int], function: Any) -> Any:
    """Return a function that notes how many bytes it is given."""

    def noted(data: Any, lengths: Any) -> Any:
        sizes.append(len(data))
        return function(data, lengths)

    return noted


SEVEN: list[pl.Series] = [
    pl.Series([7, None], dtype=pl.Int8),
    pl.Series([7, None], dtype=pl.UInt64),
    pl.Series([7.0, float("nan")]),
    pl.Series([7.0, None], dtype=pl.Float32),
    pl.Series(["7", None]),
    pl.Series(["7", None], dtype=pl.Categorical),
]


@pytest.mark.parametrize("column", SEVEN, ids=lambda s: str(s.dtype))
def test_an_integer_and_its_text_have_one_row_and_missing_has_its_own(column: pl.Series) -> None:
    row = FIRST + GOLDEN_7 % 100
    assert Hashed(100, 0, 0).encode(column).tolist() == [row, MISSING]


GOLDEN_7 = slow_hash("7")


def test_rows_are_within_the_table_and_none_is_the_missing_one() -> None:
    hashed = Hashed(10, 0, 0)
    rows = hashed.encode(pl.Series(range(1000)))
    assert hashed.rows == FIRST + 10
    assert sorted(set(rows.tolist())) == list(range(FIRST, FIRST + 10))


def test_one_row_holds_everything() -> None:
    hashed = Hashed.learn(pl.Series([1, 2, 2, None]), 1)
    assert (hashed.ids, hashed.sharing, hashed.expected, hashed.measured) == (2, 2, 1.0, 1.0)
    assert hashed.encode(pl.Series([1, 9])).tolist() == [FIRST, FIRST]


def test_collisions_are_counted_by_hand() -> None:
    values = list(range(50)) * 2
    hashed = Hashed.learn(pl.Series(values), 100)
    rows = [slow_hash(str(value)) % 100 for value in range(50)]
    assert hashed.ids == 50
    assert hashed.sharing == sum(rows.count(row) > 1 for row in rows)


@pytest.mark.parametrize("size", [3_000, 30_000, 1_000_000])
def test_as_many_share_a_row_as_chance_would_have(size: int) -> None:
    hashed = Hashed.learn(pl.Series(range(20_000)), size)
    assert hashed.measured == pytest.approx(hashed.expected, abs=0.01)


def test_advice_only_where_many_share_a_row() -> None:
    few, many = (Hashed.learn(pl.Series(range(1000)), size) for size in (100_000, 1_000))
    assert few.advice() == ""
    assert "hash_rows = 9_500" in many.advice()
    helped = Hashed.learn(pl.Series(range(1000)), 9_500)
    assert helped.measured < 0.12
    assert many.advice() in many.describe()
    assert Hashed.learn(pl.Series([], dtype=pl.Int64), 5).measured == 0


def statistics_of(frame: pl.DataFrame, **features: Any) -> Statistics:
    return Statistics.learn(settings_of(**features), None, frame)


def settings_of(**features: Any) -> dict[str, FeatureSettings]:
    return parse({"features": features, "targets": {"y": "binary"}}).features


FRAME = pl.DataFrame({"video": [3, 4, None], "seen": [[4, 3], [], [9]], "y": [0, 1, 0]})
VIDEO = {"kind": "id", "hash_rows": 50}


def test_a_table_is_shared_by_the_same_hash(tmp_path: Any) -> None:
    features = {"seen": {"kind": "ids", "shares": "video"}, "video": VIDEO}
    learnt = statistics_of(FRAME, **features)
    assert learnt.tables == {"video": FIRST + 50}
    columns = learnt.columns(FRAME, {}, {}, None)
    rows = [FIRST + slow_hash(text) % 50 for text in ("3", "4", "9")]
    assert columns.arrays["ids"][:, 0].tolist() == [*rows[:2], MISSING]
    assert columns.arrays["values.0"].tolist() == [rows[1], rows[0], rows[2]]
    learnt.save(tmp_path)
    assert not list(tmp_path.glob("vocabularies/*"))
    loaded = Statistics.load(tmp_path, settings_of(**features))
    assert loaded.learnt["seen"].describe() == learnt.learnt["seen"].describe()
    again = loaded.columns(FRAME, {}, {}, None)
    assert all(np.array_equal(again.arrays[n], a) for n, a in columns.arrays.items())


def test_growing_moves_nothing() -> None:
    old, new = statistics_of(FRAME, video=VIDEO), statistics_of(FRAME[:1], video=VIDEO)
    grown = old.grown(new)
    assert grown.tables == old.tables
    assert grown.encode(FRAME)["video"].ids["video"].tolist() == (
        old.encode(FRAME)["video"].ids["video"].tolist()
    )


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({"a": {"kind": "id", "hash_rows": 0}}, "features.a.hash_rows: expected a number of 1"),
        ({"a": {"kind": "id", "hash_rows": 9, "least_rows": 3}}, "features.a: 'least_rows'"),
        (
            {"b": "id", "a": {"kind": "ids", "hash_rows": 9, "shares": "b"}},
            "features.a: 'hash_rows' goes with .* 'b'",
        ),
    ],
)
def test_settings_that_hashing_does_not_go_with(features: Any, says: str) -> None:
    with pytest.raises(trimtab.SettingsError, match=says):
        settings_of(**features)
