import builtins
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.evaluation import metrics
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas.base import parse
from trimtab.steering.search import efficient, front

Many = Callable[[int], Candidates]


def test_efficient_is_what_no_other_row_beats() -> None:
    values = np.random.default_rng(0).integers(0, 12, (200, 3)).astype(float)
    values[5] = np.nan
    kept = efficient(values)
    for i, row in enumerate(values):
        beaten = [(other >= row).all() and (other > row).any() for other in values]
        twin = any((values[j] == row).all() for j in kept)
        assert (not any(beaten) and not np.isnan(row).any()) == twin or i == 5
    assert len({tuple(row) for row in values[kept]}) == len(kept)
    assert efficient(np.empty((0, 2))).size == 0


@pytest.mark.parametrize("metric", ["utility", "ndcg@5"])
def test_points_are_measured_efficient_and_sorted(metric: str, many: Many) -> None:
    rows = many(400)
    found = front(rows, ["click", "like"], metric=metric, trials=80)
    assert efficient(found.values).size == len(found.values) > 2
    assert (np.diff(found.values[:, 0]) > 0).all()
    assert (np.diff(found.values[:, 1]) < 0).all()
    if metric == "utility":
        for i, values in enumerate(found.values):
            score = found.formula(i).score(rows)
            slow = [metrics.auc(rows.labels[name], score) for name in ("click", "like")]
            np.testing.assert_allclose(values, slow)


def test_it_reaches_as_far_as_a_fine_grid(many: Many) -> None:
    """With two targets all orders are those of one angle, so a grid of it holds the whole front."""
    rows = many(400)
    found = front(rows, ["click", "like"], trials=300)
    angles = np.linspace(0, np.pi / 2, 200)
    scores = [
        np.cos(a) * rows.predictions["click"] + np.sin(a) * rows.predictions["like"] for a in angles
    ]
    grid = np.array([[metrics.auc(rows.labels[n], s) for n in ("click", "like")] for s in scores])
    short = [np.maximum(point - found.values, 0).max(axis=1).min() for point in grid]
    assert np.mean(short) < 0.002
    assert max(short) < 0.01


def test_the_same_seed_finds_the_same(many: Many) -> None:
    rows = many(200)
    found = [front(rows, ["click", "play"], trials=50, seed=seed).as_dict() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_the_knee_and_the_spread(many: Many) -> None:
    found = front(many(400), ["click", "like", "play"], trials=200)
    low, high = found.values.min(axis=0), found.values.max(axis=0)
    far = np.linalg.norm(1 - (found.values - low) / (high - low), axis=1)
    assert far[found.knee] == far.min()
    some = found.spread(6)
    assert len(some) == 6
    assert some == sorted(set(some))
    assert {found.knee, *found.values.argmax(axis=0)} <= set(some)
    assert found.spread(10_000) == list(range(len(found.values)))


def test_json(many: Many) -> None:
    found = front(many(300), ["click", "play"], trials=60).as_dict(5)
    json.dumps(found, allow_nan=False)
    assert len(found["points"]) <= 5
    knee = found["points"][found["knee"]]
    assert set(knee) == {"formula", "weights", "values"}
    assert set(knee["values"]) == {"click", "play"}


def test_the_hypervolume_of_two_targets(many: Many) -> None:
    pytest.importorskip("moocore")
    found = front(many(300), ["click", "like"], trials=60)
    area, least = 0.0, 0.5
    for click, like in found.values[::-1]:  # From the highest click, rows of rectangles.
        area += max(click - 0.5, 0) * max(like - least, 0)
        least = max(least, like)
    assert found.hypervolume == pytest.approx(area / 0.25)


def test_without_moocore_there_is_no_hypervolume(
    many: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "moocore":
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert front(many(100), ["click"], trials=5).hypervolume is None


def test_what_is_not_wanted_is_pushed_down(many: Many) -> None:
    rows = many(400)
    current = parse({"kind": "additive", "weights": {"click": 1, "like": -3}}, "now")
    found = front(rows, ["click", "like"], current=current, trials=60)
    last = found.formula(0).score(rows)  # The least clicks, so the fewest likes.
    assert found.values[0, 1] == pytest.approx(1 - metrics.auc(rows.labels["like"], last))
    assert found.values[0, 1] > 0.5
    told = found.as_dict()
    assert told["unwanted"] == ["like"]
    assert told["points"][0]["values"]["like"] == pytest.approx(1 - found.values[0, 1])
    assert told["points"][0]["values"]["click"] == pytest.approx(found.values[0, 0])


def test_refused(many: Many) -> None:
    rows = many(50)
    rows.labels["like"][:] = 0
    for targets, says in (
        (["clik"], "'clik' is no target with known, different outcomes here. Did you mean 'click'"),
        (["like"], "'like' is no target with known, different outcomes"),
        (["click", "click"], "'click' is named twice"),
        ([], "no target is named"),
    ):
        with pytest.raises(InputError, match=says):
            front(rows, targets)
