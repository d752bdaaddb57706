"""The maps of a run: kept as JSON, one a scene, and a later step never likelier than its first."""

import json

import numpy as np
import pytest

from trimtab.calibration import SCALES, Calibration, Identity, Isotonic, Platt

LOG_ODDS = SCALES["probability"]
LOWER, HIGHER = Platt(LOG_ODDS, 1.0, -2.0), Platt(LOG_ODDS, 1.0, 2.0)
PREDICTIONS = {
    "a": np.array([0.5, 0.5, np.nan, 0.9], dtype=np.float32),
    "b": np.array([0.4, 0.1, np.nan, 0.9], dtype=np.float32),
    "gain": np.array([3.0, 4.0, 5.0, 6.0], dtype=np.float32),
}
SCENE = np.array([0, 1, 1, 1])


def test_each_scene_is_moved_by_its_map() -> None:
    calibration = Calibration({"a": (Identity(), LOWER)}, {}, ["cover", "stream"])
    moved = calibration(PREDICTIONS, SCENE)
    wanted = LOWER(np.array([0.5, 0.9]))
    np.testing.assert_allclose(moved["a"], [0.5, wanted[0], np.nan, wanted[1]], rtol=1e-6)
    assert moved["a"].dtype == np.float32
    for name in ("b", "gain"):
        np.testing.assert_array_equal(moved[name], PREDICTIONS[name])
    assert PREDICTIONS["a"][1] == 0.5, "what was given stays"


def test_a_later_step_is_never_likelier_than_the_one_before() -> None:
    maps = {"a": (LOWER, LOWER), "b": (HIGHER, Identity())}
    moved = Calibration(maps, {"b": "a"}, ["cover", "stream"])(PREDICTIONS, SCENE)
    low = LOWER(np.array([0.5, 0.5, 0.9]))
    np.testing.assert_allclose(moved["b"], [low[0], 0.1, np.nan, low[2]], rtol=1e-6)
    chain = Calibration({"a": (LOWER,) * 2}, {"b": "a", "gain": "b"}, ["cover", "stream"])
    np.testing.assert_allclose(chain(PREDICTIONS, SCENE)["gain"][:2], [low[0], 0.1], rtol=1e-6)


def test_it_is_the_same_after_json() -> None:
    isotonic = Isotonic(LOG_ODDS, [-1.0, 0.5], [-2.0, 0.123456789012345])
    maps = {"a": (Identity(), LOWER), "b": (isotonic, HIGHER)}
    calibration = Calibration(maps, {"b": "a"}, ["cover", "stream"])
    again = Calibration.parse(calibration.text())
    for name, moved in calibration(PREDICTIONS, SCENE).items():
        np.testing.assert_array_equal(again(PREDICTIONS, SCENE)[name], moved)
    assert again.text() == calibration.text()
    state = json.loads(calibration.text())
    assert state["maps"]["a"]["stream"] == LOWER.state()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"scenes": ["a"], "bounds": {}, "maps": {"x": {}}}',
     '{"scenes": ["a"], "bounds": {}, "maps": {"x": {"a": {"kind": "plat"}}}}',
     '{"scenes": ["a"], "bounds": {}, "maps": {"x": {"a": {"kind": "platt", "scale": "log"}}}}',
     '{"scenes": ["a"], "bounds": {}, "maps": {"x": {"a": {"kind": "platt", "scale": "log",'
     ' "slope": 0, "level": 1}}}}'],
)  # fmt: skip
def test_what_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        Calibration.parse(text)


def test_without_maps_it_changes_nothing() -> None:
    moved = Calibration({}, {}, [])(PREDICTIONS, SCENE)
    for name, values in PREDICTIONS.items():
        np.testing.assert_array_equal(moved[name], values)
