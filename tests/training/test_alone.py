"""A run's settings cut down to one target."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import prepare
from trimtab.training.alone import Alone, seeded, without
from trimtab.training.build import build_state
from trimtab.trunks import trunks

TARGETS: dict[str, Any] = {
    "stop": {"kind": "binary"},
    "click": {"kind": "binary", "given": "stop", "weight": 0.5},
    "play": {"kind": "duration", "given": "click", "weight": 2.0},
    "like": {"kind": "binary", "given": "click", "positive_weight": 3.0, "row_weight": "worth"},
    "dwell": {"kind": "duration"},
    "engage": {"kind": "blend", "of": {"like": 5, "play": {"weight": 1, "at_least": 3}}},
}


@pytest.fixture
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    stop = random.integers(0, 2, 80)
    click = stop * random.integers(0, 2, 80)
    happened = pl.Series(click) == 1
    return pl.DataFrame(
        {
            "user": random.integers(0, 9, 80),
            "stop": stop,
            "click": click,
            "play": random.exponential(5, 80),
            "like": random.integers(0, 2, 80),
            "dwell": random.exponential(5, 80),
            "worth": random.random(80),
        }
    ).with_columns(pl.when(happened).then(pl.col("play", "like")))


def settings(**tables: Any) -> RunSettings:
    return parse({"features": {"user": "id"}, "targets": TARGETS, **tables})


def test_a_probability_is_learnt_directly() -> None:
    alone = Alone.of(settings(), "like")
    assert list(alone.targets) == ["like"]
    like = alone.targets["like"]
    assert (like.given, like.weight, like.positive_weight) == (None, 1.0, 3.0)
    assert like.row_weight == "worth"


def test_a_quantity_keeps_the_step_before_it_which_is_learnt_directly() -> None:
    alone = Alone.of(settings(), "play")
    assert {n: (t.given, t.weight) for n, t in alone.targets.items()} == {
        "click": (None, 1.0),
        "play": ("click", 1.0),
    }
    assert list(Alone.of(settings(), "dwell").targets) == ["dwell"]


def test_the_entire_space_of_a_funnel_is_left_out() -> None:
    ips = TARGETS | {"click": TARGETS["click"] | {"entire_space": "ips"}}
    for name in TARGETS:
        targets = Alone.of(parse({"features": {"user": "id"}, "targets": ips}), name).targets
        assert "click" not in targets or targets["click"].entire_space == "esmm"


def test_a_blend_keeps_the_labels_of_its_behaviours() -> None:
    alone = Alone.of(settings(), "engage")
    assert {n: (t.given, t.weight) for n, t in alone.targets.items()} == {
        "play": (None, 0.0),
        "like": (None, 0.0),
        "engage": (None, 1.0),
    }


@pytest.mark.parametrize("name", TARGETS)
def test_rows_and_labels_are_the_whole_run_s(name: str, frame: pl.DataFrame) -> None:
    whole = prepare(settings().plan(), frame)
    alone = Alone.of(settings(), name)
    again = prepare(alone.plan(), frame)
    assert alone.plan().key() == settings().plan().key()
    assert again.train.fingerprint == whole.train.fingerprint
    state = build_state(alone, again)
    assert set(state.model.targets) == set(alone.targets)
    batch = again.train.batch(np.arange(20))
    losses = state.objective(state.model, batch, state.model(batch))
    assert losses[name].requires_grad


def test_a_step_that_was_not_reached_is_zero_for_a_target_alone(frame: pl.DataFrame) -> None:
    rows = prepare(Alone.of(settings(), "like").plan(), frame).train
    like, click = rows.label("like"), rows.label("click")
    assert (like[click == 0] == 0).all()
    assert (click == 0).any()


def test_everything_else_stays_as_it_is() -> None:
    whole = settings(
        embedding={"own_width": 2},
        tower={"widths": [7]},
        training={"epochs": 3, "seed": 4},
        loss={"tower": "mean"},
    )
    alone = Alone.of(whole, "stop")
    for table in ("data", "features", "embedding", "trunk", "tower", "training", "loss"):
        assert getattr(alone, table) == getattr(whole, table)


def test_balancing_is_left_out() -> None:
    assert Alone.of(settings(balancing={"kind": "uncertainty"}), "stop").balancing.kind == "fixed"


def test_another_seed_is_all_that_changes() -> None:
    alone = Alone.of(settings(), "like")
    other = seeded(alone, 7)
    assert (alone.training.seed, other.training.seed) == (0, 7)
    assert other.plan() == alone.plan()
    assert other.targets == alone.targets


def test_scenes_stay() -> None:
    scenes = {"stages": ["first", "second"]}
    places = dict.fromkeys(TARGETS, "second") | dict.fromkeys(("stop", "click", "dwell"), "first")
    targets = {name: target | {"scene": places[name]} for name, target in TARGETS.items()}
    whole = settings(scenes=scenes, targets=targets)
    alone = Alone.of(whole, "play")
    assert alone.scenes == whole.scenes
    assert alone.scenes_of("click") == ["first"]
    assert alone.scenes_of("play") == ["second"]


@pytest.mark.parametrize("kind", list(trunks))
def test_every_trunk_can_be_cut(kind: str, frame: pl.DataFrame) -> None:
    whole = settings(trunk={"kind": kind})
    prepared = prepare(whole.plan(), frame)
    for name in TARGETS:
        build_state(Alone.of(whole, name), prepared)


def test_trunks_that_name_targets(frame: pl.DataFrame) -> None:
    groups = {"watch": ["play", "dwell"], "act": ["stop", "click", "like", "engage"]}
    whole = settings(trunk={"kind": "home", "groups": groups})
    prepared = prepare(whole.plan(), frame)
    assert Alone.of(whole, "stop").trunk.groups == {"act": ["stop"]}
    assert Alone.of(whole, "play").trunk.groups == {"watch": ["play"], "act": ["click"]}
    chain = settings(trunk={"kind": "aitm", "chain": ["stop", "click", "play"]})
    assert Alone.of(chain, "stop").trunk.chain is None
    assert Alone.of(chain, "play").trunk.chain == ["click", "play"]
    assert Alone.of(chain, "dwell").trunk.chain is None
    for name in TARGETS:
        build_state(Alone.of(whole, name), prepared)
        build_state(Alone.of(chain, name), prepared)


def test_what_names_nobody_is_kept() -> None:
    trunk = {"kind": "x", "widths": [64, 32], "activation": "relu", "names": None, "of": {"k": 1}}
    assert without(trunk, {"click"}) == trunk
    cut = {"chain": ["a", "b", "c"], "pair": ["a", "b"], "groups": {"g": ["a"], "h": ["b", "c"]}}
    assert without(cut, {"a"}) == {"chain": ["b", "c"], "groups": {"h": ["b", "c"]}}
    assert without({"groups": {"g": ["a"]}}, {"a"}) == {}
