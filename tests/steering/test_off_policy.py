import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.steering.off_policy import snips, softmax_within

LISTS, LENGTH = 6000, 4


def test_softmax_within_a_list() -> None:
    group = np.array([3, 1, 3, 1, 1])
    score = np.array([1.0, 0, 3, 0, 2])
    found = softmax_within(score, group, 2.0)
    expected = np.exp(score / 2)
    expected /= [expected[group == g].sum() for g in group]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(softmax_within(score, group), [0, 0, 1, 0, 1])
    np.testing.assert_array_equal(softmax_within(np.ones(4), np.zeros(4)), [0.25] * 4)
    np.testing.assert_allclose(softmax_within(score * 1e6, group, 1.0), [0, 0, 1, 0, 1])
    assert softmax_within(np.empty(0), np.empty(0)).shape == (0,)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_temperature_that_is_none(temperature: float) -> None:
    with pytest.raises(InputError, match="temperature: found"):
        softmax_within(np.ones(2), np.zeros(2), temperature)


def log(seed: int) -> tuple[np.ndarray, ...]:
    """Lists of which one row was shown, by a policy that is known, and the truth of every row."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(LISTS), LENGTH)
    truth = random.random(LISTS * LENGTH)
    propensity = softmax_within(random.normal(size=truth.size), group, 1.0)
    place = (propensity.reshape(LISTS, LENGTH).cumsum(1) > random.random((LISTS, 1))).argmax(1)
    shown = np.zeros(truth.size, dtype=bool)
    shown[np.arange(LISTS) * LENGTH + place] = True
    reward = np.where(shown, (random.random(truth.size) < truth).astype(float), np.nan)
    return group, truth, propensity, reward


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_the_value_of_a_known_policy(temperature: float) -> None:
    covered = 0
    for seed in range(20):
        group, truth, propensity, reward = log(seed)
        chance = softmax_within(truth, group, temperature)
        expected = chance @ truth / LISTS
        found = snips(reward, chance, propensity, group)
        assert found.value == pytest.approx(expected, abs=0.06)
        assert found.mean_weight == pytest.approx(1, abs=0.1)
        assert found.logged == pytest.approx(0.5, abs=0.03)
        assert found.rows == LISTS
        covered += found.interval[0] < expected < found.interval[1]
    assert covered >= 17


def test_by_hand() -> None:
    reward, chance = np.array([1.0, 0, np.nan, 1]), np.array([0.5, 0.5, 0.5, 0.5])
    found = snips(reward, chance, np.array([0.5, 0.25, 0.0, 1.0]), np.arange(4))
    weight = np.array([1, 2, 0.5])
    assert found.value == pytest.approx(1.5 / 3.5)
    assert found.effective_rows == pytest.approx(3.5**2 / (weight**2).sum())
    assert found.mean_weight == pytest.approx(3.5 / 3)
    assert (found.logged, found.rows) == (pytest.approx(2 / 3), 3)


def test_random_exposure_of_whole_lists_is_the_mean_of_what_would_be_chosen() -> None:
    random = np.random.default_rng(0)
    group, score = np.repeat(np.arange(200), 5), random.random(1000)
    reward = (random.random(1000) < score).astype(float)
    first = score.reshape(200, 5).argmax(1) + 5 * np.arange(200)
    found = snips(reward, softmax_within(score, group), 1.0, group)
    assert found.value == pytest.approx(reward[first].mean())
    assert found.effective_rows == pytest.approx(200)


def test_equal_weights_are_worth_every_row() -> None:
    reward = np.random.default_rng(0).random(100)
    found = snips(reward, np.full(100, 0.2), 0.2, np.arange(100))
    assert found.value == pytest.approx(found.logged)
    assert found.effective_rows == pytest.approx(100)


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.5, float("nan")])
def test_propensity_that_is_none(propensity: float) -> None:
    values = np.array([0.5, propensity, 0.5])
    with pytest.raises(InputError, match="in row 1 .* above 0 and at most 1"):
        snips(np.ones(3), np.ones(3), values, np.arange(3))


def test_nothing_was_shown() -> None:
    found = snips(np.full(3, np.nan), np.ones(3) / 3, 0.5, np.arange(3))
    assert np.isnan([found.value, found.logged, found.effective_rows, *found.interval]).all()
