"""Shared against single-target predictions, on rows where the truth is known."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.metrics import auc, xauc
from trimtab.evaluation.seesaw import (
    MEANINGS,
    Rivals,
    compare_rivals,
    meaning,
    no_advice,
    sentence,
)

ROWS = 1500
Values = NDArray[np.float32]


def rivals(shared: float, single: float, *, seeds: int = 1, seed: int = 0, **other: Any) -> Rivals:
    """Predictions that are the label with noise; less noise is better."""
    random = np.random.default_rng(seed)
    label = (random.random(ROWS) < 0.3).astype(np.float32)

    def predicted(noise: float) -> list[Values]:
        return [(label + noise * random.normal(size=ROWS)).astype(np.float32) for _ in range(seeds)]

    made = {
        "measure": "probability",
        "label": label,
        "users": np.arange(ROWS) // 5,
        "shared": predicted(shared),
        "single": predicted(single),
    }
    return Rivals(**(made | other))


def test_numbers_of_one_seed() -> None:
    case = rivals(1.0, 1.2)
    found = compare_rivals({"click": case}, {})["targets"]["click"]
    assert found["single"] == pytest.approx(auc(case.label, case.single[0]))
    assert found["shared"] == pytest.approx(auc(case.label, case.shared[0]))
    assert found["difference"] == pytest.approx(found["shared"] - found["single"])
    low, high = found["interval"]
    assert low < found["difference"] < high
    assert found["seeds_deviation"] is None
    assert found["p"] == found["p_holm"]
    # Rows were drawn independently, so DeLong's test and the users' bootstrap agree.
    z = found["difference"] / ((high - low) / 2 / 1.972)
    assert z == pytest.approx(4, abs=3)
    assert found["p_delong"] < 0.05


def test_seeds_are_paired_and_averaged() -> None:
    case = rivals(1.0, 1.1, seeds=3)
    found = compare_rivals({"click": case}, {})
    target = found["targets"]["click"]
    each = [
        auc(case.label, shared) - auc(case.label, single)
        for shared, single in zip(case.shared, case.single, strict=True)
    ]
    assert found["seeds"] == 3
    np.testing.assert_allclose(target["seeds_differences"], each)
    assert target["difference"] == pytest.approx(np.mean(each))
    assert target["seeds_deviation"] == pytest.approx(np.std(each, ddof=1))
    assert "p_delong" not in target
    users = UserBootstrap(case.users)
    draws = [users.of_auc(case.label, s).resampled() for s in (*case.shared, *case.single)]
    over_users = np.std(np.mean(draws[:3], 0) - np.mean(draws[3:], 0), ddof=1)
    low, high = target["interval"]
    assert high - low > 2 * 1.96 * np.hypot(over_users, np.std(each, ddof=1) / 3**0.5) * 0.999


def test_censored_labels_are_compared_by_the_pairs_that_are_known() -> None:
    random = np.random.default_rng(0)
    rows = 1500
    taste, length = random.normal(size=rows), np.exp(random.normal(3, 1, rows))
    wanted = np.exp(3 + taste + random.normal(0, 0.5, rows))
    case = Rivals(
        measure="quantity",
        label=np.minimum(wanted, length).astype(np.float32),
        users=np.arange(rows),
        shared=[taste.astype(np.float32)],
        single=[length.astype(np.float32)],
        censored=wanted >= length,
    )
    target = compare_rivals({"watch": case}, {})["targets"]["watch"]
    assert target["shared"] == pytest.approx(0.88, abs=0.03)
    assert target["single"] == pytest.approx(0.5, abs=0.03)
    assert target["direction"] == 1


def test_verdicts_of_known_models() -> None:
    better, worse, same = rivals(1.0, 2.0), rivals(2.0, 1.0, seed=1), rivals(1.0, 1.0, seed=2)
    same = Rivals(**(vars(same) | {"single": same.shared}))

    def verdict(**targets: Rivals) -> Any:
        return compare_rivals(targets, {})["verdict"]

    assert verdict(a=better, b=same) == "gain"
    assert verdict(a=worse, b=same) == "negative transfer"
    assert verdict(a=better, b=worse) == "seesaw"
    assert verdict(a=same) == "none"
    assert set(MEANINGS) == {"gain", "negative transfer", "seesaw", "none"}


def test_many_targets_make_one_significant_by_chance_less_often() -> None:
    case = rivals(1.0, 1.1)
    alone = compare_rivals({"a": case}, {})["targets"]["a"]
    assert 0.001 < alone["p"] < 0.05
    crowd = {f"t{i}": rivals(1.0, 1.0, seed=i) for i in range(1, 5)}
    found = compare_rivals({"a": case, **crowd}, {})["targets"]["a"]
    assert (alone["direction"], found["direction"]) == (1, 0)
    assert found["p"] == alone["p"]
    assert found["interval"] == alone["interval"]


def test_scenes_are_judged_by_their_own_rows() -> None:
    case = rivals(1.0, 1.0)
    first = np.arange(ROWS) < ROWS // 2
    noise = np.random.default_rng(5).normal(size=ROWS).astype(np.float32)
    single = [np.where(first, noise, case.shared[0])]
    shared = [np.where(first, case.shared[0], noise)]
    case = Rivals(**(vars(case) | {"shared": shared, "single": single}))
    found = compare_rivals({"click": case}, {"x": (first, ["click"]), "y": (~first, ["click"])})
    assert {name: scene["verdict"] for name, scene in found["scenes"].items()} == {
        "x": "gain",
        "y": "negative transfer",
    }
    assert found["scenes"]["x"]["rows"] == ROWS // 2
    assert sentence(found["scenes"]["y"]["targets"]) == "Worse: click."


def test_quantities_are_measured_by_xauc() -> None:
    case = rivals(1.0, 1.5, measure="quantity")
    found = compare_rivals({"play": case}, {})["targets"]["play"]
    assert found["metric"] == "xauc"
    assert found["shared"] == pytest.approx(xauc(case.label, case.shared[0]))
    assert "p_delong" not in found


@pytest.mark.parametrize("label", [np.full(ROWS, np.nan), np.zeros(ROWS), np.ones(ROWS)])
def test_a_label_that_says_nothing(label: NDArray[np.float64]) -> None:
    case = rivals(1.0, 1.0, label=label.astype(np.float32))
    found = compare_rivals({"click": case, "like": rivals(1.0, 3.0)}, {})
    target = found["targets"]["click"]
    assert target["difference"] is None
    assert target["interval"] == [None, None]
    assert target["direction"] == 0
    assert found["verdict"] == "gain"
    json.dumps(found, allow_nan=False)


def test_missing_labels_are_left_out() -> None:
    case = rivals(1.0, 1.2)
    label = case.label.copy()
    label[::2] = np.nan
    kept = {side: [column[1::2] for column in getattr(case, side)] for side in ("shared", "single")}
    half = Rivals(measure="probability", label=label[1::2], users=case.users[1::2], **kept)
    found = compare_rivals({"a": Rivals(**(vars(case) | {"label": label}))}, {})["targets"]["a"]
    assert found == compare_rivals({"a": half}, {})["targets"]["a"]


def test_the_sentence() -> None:
    sides = {"a": 1, "b": -1, "c": 0, "d": 1}
    targets = {name: {"direction": side, "p_holm": 0.5} for name, side in sides.items()}
    assert sentence(targets) == "Better: a, d. Worse: b. The same within chance: c."
    assert meaning({"verdict": "seesaw", "targets": targets}) == MEANINGS["seesaw"]
    assert no_advice({"targets": targets}).endswith("there is nothing to mend.")


def test_what_cannot_be_judged_is_not_the_same() -> None:
    one = rivals(1.0, 1.2, users=np.zeros(ROWS, dtype=np.int64))
    found = compare_rivals({"click": one}, {})
    assert found["targets"]["click"]["interval"] == [None, None]
    assert sentence(found["targets"]) == "Not known, as these rows say too little: click."
    assert meaning(found) == "Nothing can be judged on these rows."
    assert no_advice(found) == "No target that could be judged is worse for sharing."


def test_scenes_are_one_family() -> None:
    case, rows = rivals(1.0, 1.1), np.ones(ROWS, dtype=bool)
    alone = compare_rivals({"a": case}, {"x": (rows, ["a"])})["scenes"]["x"]
    assert (alone["verdict"], alone["targets"]["a"]["p_holm"]) == (
        "gain",
        alone["targets"]["a"]["p"],
    )
    many = compare_rivals({"a": case}, {str(i): (rows, ["a"]) for i in range(50)})
    assert {scene["verdict"] for scene in many["scenes"].values()} == {"none"}
    assert many["targets"]["a"]["direction"] == 1
