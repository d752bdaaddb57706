"""Which rows a map is fitted on: of its scene, of all scenes, of other users."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trimtab.calibration import (
    SCALES,
    IsotonicSettings,
    NoneSettings,
    Outcomes,
    PlattSettings,
    cross_fit,
    fit,
)
from trimtab.calibration.fit import _folds

ROWS = 6000
LOG_ODDS = SCALES["probability"]


def outcomes(sizes: Mapping[str, int] | None = None, levels: Any = (0.0,)) -> Outcomes:
    """Return one probability in some scenes, too low by a level in each."""
    draw = np.random.default_rng(0)
    sizes = sizes or {"all": ROWS}
    scene = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    draw.shuffle(scene)
    place = draw.normal(-1, 1, len(scene))
    happened = draw.random(len(scene)) < LOG_ODDS.back(place + np.array(levels)[scene])
    return Outcomes(
        predictions={"click": LOG_ODDS.back(place).astype(np.float32)},
        labels={"click": happened.astype(np.float32)},
        scales={"click": LOG_ODDS},
        bounds={},
        scene=scene,
        user=draw.integers(0, len(scene) // 10, len(scene)),
        scenes=list(sizes),
    )


def test_each_scene_has_a_map_of_its_own() -> None:
    two = outcomes({"cover": 4000, "stream": 4000}, levels=(1.0, -1.0))
    calibration = fit(PlattSettings(), two)
    cover, stream = calibration.maps["click"]
    assert cover.state()["level"] > 0.7
    assert stream.state()["level"] < -0.7
    moved = calibration(two.predictions, two.scene)["click"]
    for scene in (0, 1):
        rows = two.scene == scene
        assert moved[rows].sum() == pytest.approx(two.labels["click"][rows].sum(), rel=1e-4)


def test_a_scene_with_few_positives_takes_the_map_of_all() -> None:
    two = outcomes({"cover": 4000, "rare": 40}, levels=(1.0, -1.0))
    cover, rare = fit(PlattSettings(), two).maps["click"]
    assert rare.state() != cover.state()
    assert (
        rare.state()
        == fit(PlattSettings(), replace(two, scenes=["all"], scene=0 * two.scene))
        .maps["click"][0]
        .state()
    )
    none = replace(two, scenes=[*two.scenes, "ghost"])
    assert fit(PlattSettings(), none).maps["click"][2].state() == rare.state()
    own = fit(PlattSettings(least_positives=2), two).maps["click"][1]
    assert own.state()["level"] < rare.state()["level"]


def test_positives_or_negatives_count_whichever_are_rarer() -> None:
    one = outcomes()
    label = np.zeros(ROWS, dtype=np.float32)
    for value in (0, 1):
        label[:] = value
        label[:49] = 1 - value
        few = fit(PlattSettings(), replace(one, labels={"click": label}))
        assert few.maps["click"][0].state() == {"kind": "none"}
        label[49] = 1 - value
        enough = fit(PlattSettings(), replace(one, labels={"click": label}))
        assert enough.maps["click"][0].state()["kind"] == "platt"


@pytest.mark.parametrize(("bought", "kind"), [(49, "none"), (50, "platt")])
def test_of_a_quantity_what_is_above_0_counts(bought: int, kind: str) -> None:
    one = outcomes()
    labels = np.where(np.arange(ROWS) < bought, 100, 0).astype(np.float32)
    quantity = replace(one, labels={"click": labels}, scales={"click": SCALES["quantity"]})
    assert fit(PlattSettings(), quantity).maps["click"][0].state()["kind"] == kind


@pytest.mark.parametrize(("label", "kind"), [(2.0, "platt"), (0.0, "none"), (-1.0, "none")])
def test_a_quantity_needs_rows_that_are_not_negative(label: float, kind: str) -> None:
    one = outcomes()
    labels = np.full(ROWS, label, dtype=np.float32)
    quantity = replace(one, labels={"click": labels}, scales={"click": SCALES["quantity"]})
    assert fit(PlattSettings(), quantity).maps["click"][0].state()["kind"] == kind
    assert fit(PlattSettings(), quantity.take(np.arange(ROWS) < 49)).maps["click"][0].state() == {
        "kind": "none"
    }


def test_rows_without_a_label_or_a_prediction_do_not_count() -> None:
    one = outcomes()
    missing = np.arange(ROWS) % 3 == 0
    label, prediction = one.labels["click"], one.predictions["click"]
    whole = fit(PlattSettings(), one.take(~missing)).text()
    nan = np.float32(np.nan)
    no_label = replace(one, labels={"click": np.where(missing, nan, label)})
    unpredicted = replace(one, predictions={"click": np.where(missing, nan, prediction)})
    assert fit(PlattSettings(), no_label).text() == whole
    assert fit(PlattSettings(), unpredicted).text() == whole
    moved = cross_fit(PlattSettings(), unpredicted)["click"]
    np.testing.assert_array_equal(np.isnan(moved), missing)


def test_users_are_dealt_evenly_and_always_alike() -> None:
    user = outcomes().user
    fold = _folds(user, 5)
    for one in np.unique(user):
        assert len(set(fold[user == one])) == 1
    assert np.ptp(np.bincount(_folds(np.arange(100), 5))) == 0
    np.testing.assert_array_equal(fold, _folds(user, 5))


@pytest.mark.parametrize("settings", [PlattSettings(), IsotonicSettings(folds=3)])
def test_a_row_is_never_calibrated_by_its_own_part(settings: Any) -> None:
    one = outcomes()
    fold, whole = _folds(one.user, settings.folds), cross_fit(settings, one)["click"]
    for part in range(settings.folds):
        inside, label = fold == part, one.labels["click"].copy()
        label[inside] = 1 - label[inside]
        turned = cross_fit(settings, replace(one, labels={"click": label}))["click"]
        np.testing.assert_array_equal(turned[inside], whole[inside])
        assert (turned[~inside] != whole[~inside]).mean() > 0.9


def test_cross_fitted_is_fitted_on_each_other_part() -> None:
    two = outcomes({"cover": 3000, "stream": 3000}, levels=(1.0, -1.0))
    settings = PlattSettings(folds=4)
    moved, fold = cross_fit(settings, two)["click"], _folds(two.user, 4)
    for part in range(4):
        rest, here = two.take(fold != part), two.take(fold == part)
        wanted = fit(settings, rest)(here.predictions, here.scene)["click"]
        np.testing.assert_array_equal(moved[fold == part], wanted)


def test_the_parts_of_few_users_may_be_empty() -> None:
    one = outcomes()
    pair = replace(one, user=one.user % 2)
    moved = cross_fit(PlattSettings(), pair)["click"]
    assert np.isfinite(moved).all()
    alone = cross_fit(PlattSettings(), replace(one, user=0 * one.user))["click"]
    np.testing.assert_array_equal(alone, one.predictions["click"])


def test_no_rows() -> None:
    none = outcomes().take(np.zeros(ROWS, dtype=bool))
    assert fit(PlattSettings(), none).maps["click"][0].state() == {"kind": "none"}
    assert cross_fit(PlattSettings(), none)["click"].shape == (0,)


def test_none_changes_nothing() -> None:
    one = outcomes()
    for moved in (
        cross_fit(NoneSettings(), one),
        fit(NoneSettings(), one)(one.predictions, one.scene),
    ):
        np.testing.assert_array_equal(moved["click"], one.predictions["click"])
