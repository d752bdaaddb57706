"""Which scene a row happened in."""

from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from trimtab.data.scenes import ALL, OTHER, Scenes
from trimtab.data.settings import ScenesSettings
from trimtab.errors import DataError

NAN = float("nan")


def learn(train: Any, **named: Any) -> Scenes:
    return Scenes.learn(ScenesSettings(column="tab", **named), pl.DataFrame({"tab": train}))


def places(scenes: Scenes, column: Any) -> list[str]:
    """Return the name of the scene of every row."""
    found = scenes.encode(pl.DataFrame({"tab": column}))
    return [scenes.names[i] for i in found]


@pytest.mark.parametrize(
    ("column", "cover", "stream"),
    [
        ([0, 1, 2, None], 0, 1),
        ([0, 1, 2, None], 0.0, 1.0),
        ([0, 1, 2, None], "0", "1"),
        ([0.0, 1.0, 2.0, NAN], 0, 1),
        ([0.5, 1.0, 0.0, None], 0.5, 1),
        ([0.5, 1.5, 0.0, NAN], 0.5, 1.5),
        (["0", "1", "2", None], 0, 1),
        (["a", "ä", "A", None], "a", "ä"),
        ([True, False, None, None], True, False),
        (["true", "false", "x", None], True, False),
        ([2**64, 5, 2**63, None], "18446744073709551616", 5),
        (pl.Series(["a", "b", "c", None], dtype=pl.Categorical), "a", "b"),
    ],
)
def test_values_of_every_type(column: Any, cover: Any, stream: Any) -> None:
    scenes = learn(column, cover=[cover], stream=[stream])
    assert scenes.names == ["cover", "stream", OTHER]
    assert places(scenes, column) == ["cover", "stream", OTHER, OTHER]


def test_a_fraction_is_not_the_whole_number_below_it() -> None:
    assert places(learn([0.0, 0.7], cover=[0], stream=[1]), [0.7, 0.0]) == [OTHER, "cover"]


def test_a_type_may_drift_between_training_and_prediction() -> None:
    scenes = learn([0, 1, 4], cover=[0], stream=[1])
    for new in ([0.0, 1.0, NAN], ["0", "1", "x"], pl.Series([0, 1, 9], dtype=pl.Int8)):
        assert places(scenes, new) == ["cover", "stream", OTHER]


def test_several_values_of_one_scene() -> None:
    scenes = learn([1, 2, 4, 6, 0], cover=[0], stream=[1, 2, 4, 6])
    assert scenes.names == ["cover", "stream"]
    assert places(scenes, [6, 0, 1]) == ["stream", "cover", "stream"]


def test_without_other_in_training_unseen_values_go_to_the_largest() -> None:
    scenes = learn([0, 1, 1], cover=[0], stream=[1], quiet=[2])
    assert scenes.names == ["cover", "stream", "quiet"]
    assert places(scenes, [7, None, 0]) == ["stream", "stream", "cover"]


def test_missing_values_are_other_too() -> None:
    assert places(learn([0, None], cover=[0]), [None, 0]) == [OTHER, "cover"]


def test_other_may_be_named_and_takes_the_rest() -> None:
    scenes = learn([1, 1, 1, 2], cover=[1], other=[2])
    assert scenes.names == ["cover", "other"]
    assert places(scenes, [1, 2, 3, None]) == ["cover", "other", "other", "other"]


def test_no_scenes_is_one_scene() -> None:
    scenes = Scenes.learn(None, pl.DataFrame({"x": [1, 2]}))
    assert scenes.names == [ALL]
    assert scenes.encode(pl.DataFrame({"x": [1, 2]})).tolist() == [0, 0]
    assert not scenes.staged


def test_stages_are_scenes_that_every_row_passes() -> None:
    scenes = Scenes.learn(ScenesSettings(stages=["discover", "play"]), pl.DataFrame({"x": [1]}))
    assert scenes.names == ["discover", "play"]
    assert scenes.staged
    assert scenes.encode(pl.DataFrame({"x": [1, 2]})).tolist() == [0, 0]


def test_a_column_that_is_missing_or_holds_lists_is_refused() -> None:
    scenes = ScenesSettings(column="tab", cover=[0])
    with pytest.raises(DataError, match=r"scenes\.column: .*'tab'.*'tub'"):
        Scenes.learn(scenes, pl.DataFrame({"tub": [0]}))
    with pytest.raises(DataError, match=r"scenes\.column: .*List"):
        learn([[0]], cover=[0])


@pytest.mark.parametrize("settings", [{"cover": [0]}, {"cover": [0], "other": [1]}])
def test_what_was_learnt_comes_back_from_its_state(settings: dict[str, Any]) -> None:
    scenes = learn([0, 1], **settings)
    again = Scenes(**scenes.state())
    assert places(again, [0, 1, 2, None]) == places(scenes, [0, 1, 2, None])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "either 'column'"),
        ({"column": "tab", "stages": ["a"]}, "either 'column'"),
        ({"column": "tab"}, "at least one scene"),
        ({"stages": []}, "one name or more"),
        ({"stages": ["a"], "b": [1]}, "no other scene"),
        ({"column": "tab", "a": [1], "b": [1]}, "in both 'a' and 'b'"),
        ({"column": "tab", "a": [1], "b": [1.0]}, "in both 'a' and 'b'"),
        ({"column": "tab", "a": [1], "b": ["1"]}, "in both 'a' and 'b'"),
        ({"column": "tab", "a": [True], "b": ["true"]}, "in both 'a' and 'b'"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ScenesSettings(**settings)
