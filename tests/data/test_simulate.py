"""The simulated feed holds what its settings and its truth say."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from trimtab.data.simulate import Simulation, SimulationSettings, best_auc, simulate

MIDDLE = SimulationSettings(rows=200_000, seed=3)
SMALL = SimulationSettings(rows=2_000, users=50, items=30, days=3)
PARENTS = {"dwell": "stop", "click": "stop", "play": "click", "like": "click"}


@pytest.fixture(scope="module")
def middle() -> Simulation:
    return simulate(MIDDLE)


def frames(simulation: Simulation) -> list[pl.DataFrame]:
    return [simulation.log, simulation.users, simulation.items, simulation.truth]


def over_all_rows(simulation: Simulation, target: str) -> pl.Series:
    return simulation.log[target].fill_null(0).cast(pl.Float64)


def logit(probability: pl.Series) -> np.ndarray:
    p = probability.to_numpy()
    return np.log(p / (1 - p))


def test_the_same_settings_give_identical_frames() -> None:
    for one, other in zip(frames(simulate(SMALL)), frames(simulate(SMALL)), strict=True):
        assert_frame_equal(one, other, check_exact=True)


def test_another_seed_gives_another_feed() -> None:
    other = simulate(SMALL.model_copy(update={"seed": 1}))
    for one, two in zip(frames(simulate(SMALL)), frames(other), strict=True):
        assert one.schema == two.schema
        assert not one.equals(two)


def test_users_and_items_do_not_depend_on_the_rows() -> None:
    longer = simulate(SMALL.model_copy(update={"rows": 3_000, "days": 5}))
    assert_frame_equal(simulate(SMALL).users, longer.users)
    assert_frame_equal(simulate(SMALL).items, longer.items)


def test_columns_and_types(middle: Simulation) -> None:
    assert middle.log.schema == {
        "time_ms": pl.Int64,
        "user_id": pl.String,
        "item_id": pl.Int64,
        "hour": pl.Int8,
        "stop": pl.Int8,
        "dwell": pl.Float64,
        "click": pl.Int8,
        "play": pl.Float64,
        "like": pl.Int8,
    }
    assert middle.users.columns == ["user_id", "user_age_band", "user_city"]
    assert middle.items.columns == ["item_id", "item_topic", "item_author", "item_seconds"]
    assert middle.log.height == middle.truth.height == MIDDLE.rows


def test_side_tables_hold_everyone_once(middle: Simulation) -> None:
    assert middle.users["user_id"].n_unique() == middle.users.height == MIDDLE.users
    assert middle.items["item_id"].n_unique() == middle.items.height == MIDDLE.items
    assert middle.log.join(middle.users, on="user_id", how="anti").is_empty()
    assert middle.log.join(middle.items, on="item_id", how="anti").is_empty()
    assert middle.items["item_seconds"].min() > 0


def test_rows_are_in_order_of_time_over_the_days(middle: Simulation) -> None:
    time = middle.log["time_ms"]
    assert time.is_sorted()
    days = time // 86_400_000
    assert days.n_unique() == MIDDLE.days == days[-1] - days[0] + 1
    assert (time // 3_600_000 % 24).cast(pl.Int8).equals(middle.log["hour"])


def test_a_few_users_and_items_are_more_popular(middle: Simulation) -> None:
    counts = middle.log["item_id"].value_counts(sort=True)["count"]
    assert 5 < counts[0] / counts.median() < 50
    even = simulate(SimulationSettings(rows=50_000, users=10, items=10, popularity_exponent=0))
    counts = even.log["item_id"].value_counts()["count"]
    assert counts.max() / counts.min() < 1.2


def test_the_second_stage_is_null_exactly_where_it_was_not_reached(middle: Simulation) -> None:
    clicked = middle.log["click"] == 1
    for target in ("play", "like"):
        assert middle.log[target].is_not_null().equals(clicked)
    assert middle.log.select("stop", "dwell", "click").null_count().sum_horizontal().item() == 0
    assert (middle.log["stop"] >= middle.log["click"]).all()
    assert middle.log["dwell"].min() > 0
    assert middle.log["play"].min() > 0


def test_labels_have_the_rates_of_the_settings(middle: Simulation) -> None:
    log = middle.log
    stopped = log.filter(pl.col("stop") == 1)
    assert log["stop"].mean() == pytest.approx(MIDDLE.stop_rate, rel=0.05)
    assert stopped["click"].mean() == pytest.approx(MIDDLE.click_rate_given_stop, rel=0.05)
    assert log["like"].mean() == pytest.approx(MIDDLE.like_rate_given_click, rel=0.05)
    assert stopped["dwell"].mean() == pytest.approx(MIDDLE.dwell_seconds_given_stop, rel=0.05)
    assert log["play"].mean() == pytest.approx(MIDDLE.play_seconds_given_click, rel=0.05)
    glanced = log.filter(pl.col("stop") == 0)
    assert glanced["dwell"].mean() == pytest.approx(MIDDLE.glance_seconds, rel=0.05)


def test_the_truth_has_the_rates_of_other_settings() -> None:
    settings = SimulationSettings(
        rows=250_000,
        stop_rate=0.7,
        click_rate_given_stop=0.05,
        like_rate_given_click=0.02,
        play_seconds_given_click=20,
        like_strength=2,
        correlation=0,
    )
    truth = simulate(settings).truth
    rates = {"stop": 0.7, "click": 0.7 * 0.05, "like": 0.7 * 0.05 * 0.02, "play": 0.035 * 20}
    for target, rate in rates.items():
        assert truth[target].mean() == pytest.approx(rate, rel=0.02)


def test_the_truth_over_all_rows_is_the_product_of_its_conditionals(middle: Simulation) -> None:
    truth = middle.truth
    glance = (1 - truth["stop"]) * MIDDLE.glance_seconds
    expected = truth.select(
        click=truth["stop"] * truth["click_given_stop"],
        dwell=truth["stop"] * truth["dwell_given_stop"] + glance,
        play=truth["click"] * truth["play_given_click"],
        like=truth["click"] * truth["like_given_click"],
    )
    assert_frame_equal(truth.select(expected.columns), expected)


@pytest.mark.parametrize("target", ["stop", "dwell", "click", "play", "like"])
def test_the_truth_is_calibrated_over_all_rows(middle: Simulation, target: str) -> None:
    check_calibration(middle.truth[target], over_all_rows(middle, target))


@pytest.mark.parametrize("target", PARENTS)
def test_the_truth_is_calibrated_where_the_parent_happened(middle: Simulation, target: str) -> None:
    parent = PARENTS[target]
    happened = middle.log[parent] == 1
    truth = middle.truth[f"{target}_given_{parent}"]
    check_calibration(truth.filter(happened), over_all_rows(middle, target).filter(happened))


def check_calibration(truth: pl.Series, label: pl.Series) -> None:
    """Compare means by decile of the truth, within four standard errors."""
    deciles = (
        pl.DataFrame({"truth": truth, "label": label})
        .with_columns(decile=truth.rank("ordinal") * 10 // (len(truth) + 1))
        .group_by("decile")
        .agg(
            pl.col("truth").mean(),
            pl.col("label").mean(),
            error=pl.col("label").std() / pl.len().sqrt(),
        )
    )
    assert deciles.height == 10
    # A decile of rare likes may hold none; its error is then that of about one.
    error = np.maximum(deciles["error"].to_numpy(), 10 / len(truth))
    distance = (deciles["label"] - deciles["truth"]).to_numpy() / error
    assert np.abs(distance).max() < 4


@pytest.mark.parametrize("seed", range(3))
def test_default_behaviours_are_neither_hopeless_nor_given_away(seed: int) -> None:
    best = best_auc(simulate(SimulationSettings(rows=100_000, seed=seed)))
    assert list(best) == ["stop", "click", "like"]
    assert all(0.75 < auc < 0.90 for auc in best.values())


def test_best_auc_is_the_auc_of_the_truth(middle: Simulation) -> None:
    for target, auc in best_auc(middle).items():
        label = over_all_rows(middle, target)
        assert auc == pytest.approx(roc_auc_score(label, middle.truth[target]), abs=1e-12)


def test_best_auc_counts_ties_half() -> None:
    flat = {name: 0.0 for name in SimulationSettings.model_fields if "strength" in name}
    best = best_auc(simulate(SimulationSettings(rows=5_000, **flat)))
    assert best["stop"] == best["click"] == 0.5


def test_best_auc_of_one_class_is_not_a_number() -> None:
    rare = simulate(SMALL.model_copy(update={"like_rate_given_click": 1e-9}))
    assert np.isnan(best_auc(rare)["like"])


def test_likes_rise_with_what_makes_play_long(middle: Simulation) -> None:
    none, all_of_it = (
        simulate(SimulationSettings(rows=20_000, correlation=0, like_from_play=part))
        for part in (0.0, 1.0)
    )
    assert abs(correlation_of_like_and_play(none.truth)) < 0.1
    assert correlation_of_like_and_play(all_of_it.truth) > 0.8
    assert correlation_of_like_and_play(middle.truth) > 0.5


def correlation_of_like_and_play(truth: pl.DataFrame) -> float:
    play = truth["play_given_click"].log().to_numpy()
    return float(np.corrcoef(logit(truth["like_given_click"]), play)[0, 1])


def test_correlation_moves_the_correlation_of_logits() -> None:
    measured = []
    for correlation in (0.0, 0.5, 1.0):
        settings = SimulationSettings(rows=20_000, correlation=correlation, hour_strength=0)
        truth = simulate(settings).truth
        stop, click = logit(truth["stop"]), logit(truth["click_given_stop"])
        measured.append(float(np.corrcoef(stop, click)[0, 1]))
    assert measured == pytest.approx([0, 0.5, 1], abs=0.12)
    assert measured[2] == pytest.approx(1)


def test_attributes_tell_something_but_not_all(middle: Simulation) -> None:
    logits = middle.log.select("user_id", "item_id").with_columns(
        stop=pl.Series(logit(middle.truth["stop"]))
    )
    tables = {"user_id": middle.users, "item_id": middle.items}
    for key, attribute in (("user_id", "user_age_band"), ("item_id", "item_author")):
        member = logits.group_by(key).agg(pl.col("stop").mean()).join(tables[key], on=key)
        explained = member["stop"] - member.select(pl.col("stop").mean().over(attribute))["stop"]
        assert 0.3 < explained.var() / member["stop"].var() < 0.9


def test_one_user_one_item_one_row_is_a_feed() -> None:
    simulation = simulate(SimulationSettings(rows=1, users=1, items=1, days=1, latent_width=1))
    assert simulation.truth["stop"].item() == pytest.approx(MIDDLE.stop_rate)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 0},
        {"stop_rate": 1},
        {"correlation": 1.1},
        {"play_seconds_given_click": float("inf")},
        {"row": 10},
    ],
)
def test_settings_are_closed_and_bounded(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SimulationSettings.model_validate(wrong)
    with pytest.raises(ValidationError, match="frozen"):
        SMALL.rows = 1
