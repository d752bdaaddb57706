"""The numbers of the page, worked out in the browser, are those of the library on the same rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.evaluation.metrics import auc, utility
from trimtab.steering.candidates import Candidates
from trimtab.steering.effect import effect
from trimtab.steering.formulas import Formula
from trimtab.steering.scan import Scan

Metrics = dict[str, float]
Same = Callable[[Any, Formula], None]


def slow_worth(gain: Any, score: Any, discount: Callable[[int], float]) -> float:
    """Return the expected discounted sum of one list, ties in every order alike."""
    known = [i for i in range(len(gain)) if not np.isnan(gain[i])]
    total, place = 0.0, 0
    for value in sorted({score[i] for i in known}, reverse=True):
        tied = [i for i in known if score[i] == value]
        share = sum(discount(place + i) for i in range(len(tied))) / len(tied)
        total += share * sum(gain[i] for i in tied)
        place += len(tied)
    return total


def slow(rows: Candidates, gain: Any, score: Any, first: int) -> Metrics:
    """Return what the page shows of a gain under an order, one list after another."""

    def log(place: int) -> float:
        return 1 / np.log2(place + 2) if place < 10 else 0.0

    firsts, ndcgs = [], []
    for group in np.unique(rows.group):
        here = rows.group == group
        firsts.append(slow_worth(gain[here], score[here], lambda place: float(place < first)))
        above = np.maximum(gain[here], 0)
        ideal = slow_worth(above, above, log)
        if ideal > 0:
            ndcgs.append(slow_worth(above, score[here], log) / ideal)
    return {
        "first": float(np.mean(firsts)),
        "ndcg": float(np.mean(ndcgs)),
        "utility": utility(gain, score),
    }


@pytest.fixture
def same(given: dict[str, Any], sampled: Candidates, now: Formula) -> Same:
    """Compare the table and the lists with slow twins, under the formula that is chosen."""

    def compare(opened: Any, formula: Formula) -> None:
        table, scores = opened.table(), (now.score(sampled), formula.score(sampled))
        gain = formula.gain(sampled)
        assert gain is not None
        for name, happened in {**sampled.labels, "All together": gain}.items():
            for side, score in enumerate(scores):
                expected = slow(sampled, happened, score, given["first"])
                shown = {metric: ends[side] for metric, ends in table[name].items()}
                assert shown == pytest.approx(expected, abs=1e-6)
        clicks = auc(sampled.labels["click"], scores[1])
        assert table["click"]["utility"][1] == pytest.approx(clicks, abs=1e-6)
        for order in opened.orders():
            assert order == sorted(order, key=lambda row: (-scores[1][row], row))

    return compare


def test_now(opened: Any, same: Same, now: Formula) -> None:
    same(opened, now)


def test_moved_sliders(opened: Any, same: Same) -> None:
    opened.press(1, "PageUp", 2)
    same(opened, opened.formula())
    opened.press(0, "Home")
    opened.page.check("#against2")
    opened.settle()
    same(opened, opened.formula())


def test_products_caps_and_scenes(opened: Any, same: Same, rich: Formula) -> None:
    opened.click("[data-profile=rich]")
    same(opened, rich)
    assert opened.formula().model_dump() == rich.model_dump()


def test_a_scan(opened: Any, sampled: Candidates) -> None:
    opened.press(0, "ArrowLeft", 7)
    opened.press(2, "ArrowRight", 12)
    weights = opened.formula().model_dump()["weights"]
    weight = [weights[name]["weight"] for name in ("click", "like", "play")]
    weight[2] /= 60_000  # From minutes to milliseconds.
    found = Scan(sampled, ["click", "like", "play"]).many(np.array([weight]))
    table = opened.table()
    shown = [table[name]["utility"][1] for name in ("click", "like", "play")]
    np.testing.assert_allclose(shown, found.by_target[0], atol=1e-6)


def test_an_effect(opened: Any, sampled: Candidates, now: Formula) -> None:
    opened.press(1, "ArrowRight", 20)
    found = effect(sampled, opened.formula(), now, intervals=False)
    table = opened.table()
    for name, metrics in {**found["targets"], "All together": found["fused"]}.items():
        for metric, key in {"ndcg": "ndcg", "utility": "auc"}.items():
            entry = metrics.get(key) or metrics["utility"]
            before, after = table[name][metric]
            assert after == pytest.approx(entry["value"], abs=1e-6)
            assert before == pytest.approx(entry["against"], abs=1e-6)


def test_a_dot_of_the_chart(opened: Any, given: dict[str, Any]) -> None:
    opened.page.focus("#chart")
    opened.page.keyboard.press("ArrowLeft")
    opened.settle()
    tried = given["tried"]
    shown = [metrics["utility"][1] for metrics in list(opened.table().values())[:3]]
    gaps = np.abs(np.array(tried["metrics"]) - shown).max(axis=1)
    which = int(gaps.argmin())
    assert gaps[which] < 1e-6
    weights = [float(opened.page.input_value(f"#number{i}")) for i in tried["terms"]]
    np.testing.assert_allclose(weights, tried["weights"][which], rtol=1e-3)
    dot, chosen = (
        [float(opened.page.get_attribute(mark, name)) for name in ("cx", "cy")]
        for mark in (f"[data-tried='{which}']", "circle.chosen")
    )
    np.testing.assert_allclose(chosen, dot, atol=0.2)


def test_a_run_of_stages_has_no_scenes_to_tell_apart(
    staged: tuple[Candidates, Any], now: Formula
) -> None:
    rows, opened = staged
    for name in ("click", "like"):
        known = ~np.isnan(rows.labels[name])
        expected = auc(rows.labels[name][known], now.score(rows)[known])
        assert opened.table()[name]["utility"][0] == pytest.approx(expected, abs=1e-3)
        assert abs(expected - 0.5) > 0.05
