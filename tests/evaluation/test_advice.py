"""Which rule speaks when."""

import copy
from typing import Any

import pytest

from trimtab.evaluation.advice import advise

NAMES = ("click", "play", "like")


def table(value: float, **changes: float) -> dict[str, dict[str, float]]:
    """One number for every pair, but ``like_click`` and so on."""
    return {a: {b: changes.get(f"{a}_{b}", value) for b in NAMES} for a in NAMES}


def angles(norm: float = 1.0, **cosines: float) -> dict[str, Any]:
    return {
        "cosine": table(0.5, **cosines),
        "error": table(0.01),
        "norm": {"click": 1.0, "play": 1.0, "like": norm},
    }


SETTINGS: dict[str, Any] = {
    "embedding": {"width": 16, "own_width": 4},
    "trunk": {"kind": "shared_bottom", "activation": "relu"},
    "balancing": {"kind": "fixed"},
    "training": {"choose": "mean"},
    "targets": {name: {"weight": 1.0} for name in NAMES},
}


def found(**why: Any) -> dict[str, Any]:
    targets = {
        name: {"direction": 0, "difference": 0.0, "rows": 5000, "positives": 1000, "metric": "auc"}
        for name in NAMES
    }
    targets["like"] |= {"direction": -1, "difference": -0.02, "positives": 50}
    calm = {
        "gradients": {"tables": angles(), "trunk.bottom": angles(), "towers": angles()},
        "experts": {},
        "abundance": {"user": {"shared": 12.0}},
        "peaks": {},
    }
    return {"targets": targets, "scenes": {}, "why": calm | why}


def settings_of(found: dict[str, Any], settings: dict[str, Any] | None = None) -> list[str]:
    return [one["setting"] for one in advise(found, settings or SETTINGS)]


def test_nothing_is_advised_where_nothing_is_worse() -> None:
    fine = found()
    fine["targets"]["like"]["direction"] = 0
    assert advise(fine, SETTINGS) == []


def test_a_target_that_pays_in_one_scene_alone_gets_a_trunk_that_knows_the_scene() -> None:
    case = found()
    case["targets"]["like"]["direction"] = 0
    inside = {
        "click": {"direction": -1, "difference": -0.0242},
        "like": {"direction": 0, "difference": -0.01},
    }
    case["scenes"] = {"cover": {"rows": 2576, "targets": inside}}
    (one,) = advise(case, SETTINGS)
    assert one["target"] == "click"
    assert one["setting"] == '[trunk] kind = "pepnet"'
    assert one["because"].startswith("in scene cover (2,576 rows) sharing costs it 0.0242")
    (one,) = advise(case, SETTINGS | {"trunk": {"kind": "pepnet"}})
    assert one["setting"] == "scenes.weights.cover = 2"
    weighed = {"trunk": {"kind": "pepnet"}, "scenes": {"weights": {"cover": 8}}}
    (one,) = advise(case, SETTINGS | weighed)
    assert one["setting"] == "scenes.weights.cover = 16"
    (one,) = advise(case, SETTINGS | {"scenes": {"stages": ["cover", "stream"]}})
    assert one["setting"] == "scenes.weights.cover = 2"
    case["targets"]["click"]["direction"] = -1
    assert all("scene" not in one["because"] for one in advise(case, SETTINGS))


def test_a_rare_target_in_conflict_in_the_tables_gets_embeddings_of_its_own() -> None:
    case = found(gradients={"tables": angles(like_click=-0.3, like_play=-0.1)})
    (one,) = advise(case, SETTINGS)
    assert one["target"] == "like"
    assert one["setting"] == "[embedding] own_width = 8"
    assert "that of click (cosine -0.30)" in one["because"]
    bare = copy.deepcopy(SETTINGS)
    bare["embedding"]["own_width"] = 0
    assert settings_of(case, bare) == ["[embedding] own_width = 4"]


def test_a_frequent_target_does_not() -> None:
    case = found(gradients={"tables": angles(like_click=-0.3)})
    case["targets"]["like"]["positives"] = 900
    assert settings_of(case) == ["[trunk] widths, or [embedding] width: twice as wide"]


def test_a_quantity_is_rare_where_it_is_seldom_seen_not_where_it_is_below_0() -> None:
    case = found(gradients={"tables": angles(like_click=-0.3)})
    case["targets"]["like"] |= {"metric": "xauc", "positives": 0, "rows": 600}
    assert settings_of(case) == ["[trunk] widths, or [embedding] width: twice as wide"]
    case["targets"]["like"]["rows"] = 60
    assert settings_of(case) == ["[embedding] own_width = 8"]
    case["targets"]["like"]["rows"] = 5000  # Where the step before it did not happen it is 0.
    case["targets"]["play"]["positives"] = 60
    behind = copy.deepcopy(SETTINGS)
    behind["targets"]["like"]["given"] = "play"
    assert settings_of(case, behind) == ["[embedding] own_width = 8"]
    behind["targets"]["like"]["given"] = "click"
    assert settings_of(case, behind) != ["[embedding] own_width = 8"]


@pytest.mark.parametrize(("cosine", "error"), [(-0.01, 0.001), (-0.3, 0.2), (-0.3, None)])
def test_small_and_unsure_cosines_say_nothing(cosine: float, error: float | None) -> None:
    part = angles(like_click=cosine)
    part["error"]["like"]["click"] = error
    assert settings_of(found(gradients={"tables": part})) == [
        "[trunk] widths, or [embedding] width: twice as wide"
    ]


def test_a_better_evaluation_that_was_not_served() -> None:
    assert settings_of(found(peaks={"like": 0.015})) == ['[training] choose = "smallest_loss"']
    assert settings_of(found(peaks={"like": 0.005})) != ['[training] choose = "smallest_loss"']
    fair = SETTINGS | {"training": {"choose": "smallest_loss"}}
    assert settings_of(found(peaks={"like": 0.015}), fair) == [
        "[trunk] widths, or [embedding] width: twice as wide"
    ]


def test_a_target_that_is_drowned_out_gets_weight() -> None:
    def with_norm(norm: float) -> list[str]:
        return settings_of(found(gradients={"tables": angles(norm=norm)}))

    assert with_norm(0.15) == ["targets.like.weight = 7"]
    assert with_norm(0.001) == ["targets.like.weight = 10"]
    assert with_norm(0.5) == ["[trunk] widths, or [embedding] width: twice as wide"]
    case = found(gradients={"tables": angles(norm=0.15)})
    balanced = SETTINGS | {"balancing": {"kind": "db_mtl"}}
    assert settings_of(case, balanced) == ["[trunk] widths, or [embedding] width: twice as wide"]
    heavy = copy.deepcopy(SETTINGS)
    heavy["targets"]["like"]["weight"] = 8.0
    assert settings_of(case, heavy) == ["[trunk] widths, or [embedding] width: twice as wide"]


def test_conflict_in_the_trunk_and_in_the_towers() -> None:
    parts = {"trunk.bottom": angles(like_play=-0.2), "towers": angles(like_click=-0.2)}
    assert settings_of(found(gradients=parts)) == [
        '[trunk] kind = "ple"',
        'targets.like.task = "like"',
    ]
    split = copy.deepcopy(SETTINGS)
    split["trunk"]["kind"] = "ple"
    assert settings_of(found(gradients=parts), split) == ['targets.like.task = "like"']
    split["targets"]["like"]["task"] = "like"
    assert 'targets.like.task = "like"' not in settings_of(found(gradients=parts), split)


def test_dead_experts() -> None:
    experts = {"experts": {"experts": {"0": 0.1, "1": 0.8}}, "gates": {}}
    assert settings_of(found(experts=experts)) == ['[trunk] activation = "silu"']
    for trunk in ({"kind": "mmoe", "activation": "silu"}, {"kind": "home"}):
        assert settings_of(found(experts=experts), SETTINGS | {"trunk": trunk}) == [
            "[trunk] widths, or [embedding] width: twice as wide"
        ]


def test_collapsed_tables() -> None:
    abundance = {"user": {"shared": 12.0}, "item": {"shared": 2.0}}
    assert settings_of(found(abundance=abundance)) == ["[embedding] own_width = 8"]


def test_no_more_than_two_rules_a_target_and_none_twice() -> None:
    case = found(
        gradients={"tables": angles(norm=0.1, like_click=-0.3), "towers": angles(like_click=-0.3)},
        abundance={"user": {"shared": 2.0}},
        peaks={"like": 0.02},
    )
    assert settings_of(case) == ["[embedding] own_width = 8", '[training] choose = "smallest_loss"']


def test_numbers_that_are_not_known() -> None:
    unknown = angles()
    unknown["cosine"]["like"]["click"] = unknown["error"]["like"]["play"] = None
    unknown["norm"]["like"] = None
    case = found(gradients={"tables": unknown}, abundance={"user": {"shared": None}})
    assert settings_of(case) == ["[trunk] widths, or [embedding] width: twice as wide"]
    assert settings_of(found(gradients={}, abundance={})) != []
