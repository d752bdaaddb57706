import numpy as np
import pytest

from trimtab.steering.lists import Lists, blocks


def rows(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    score = random.random(40)
    codes = random.integers(0, 7, 40)
    return np.round(score, 1) if ties else score, codes, random.normal(size=(2, 40))


@pytest.mark.parametrize("ties", [False, True])
def test_pulls_list_by_list(ties: bool) -> None:
    score, codes, gains = rows(0, ties=ties)
    lists = Lists(codes, k=3)
    found = lists.by(score).pulls(gains)
    for place, code in enumerate(lists.present):
        here = np.flatnonzero(codes == code)
        for gain, pulled in zip(gains, found[:, place], strict=True):
            slow = sum(
                gain[i] * (np.sum(score[here] < score[i]) - np.sum(score[here] > score[i]))
                for i in here
            )
            assert pulled == pytest.approx(slow, abs=1e-12)


def test_discounts_of_the_first_places() -> None:
    lists = Lists(np.array([0, 0, 0, 5]), k=2)
    found = lists.by(np.array([0.1, 0.9, 0.5, 0.3])).discounted(np.array([[1.0, 2.0, 4.0, 8.0]]))
    np.testing.assert_allclose(found, [[2 + 4 / np.log2(3), 8]])
    np.testing.assert_array_equal(lists.present, [0, 5])
    np.testing.assert_array_equal(lists.sizes, [3, 1])


@pytest.mark.parametrize("ties", [False, True])
def test_contributions_pair_by_pair(ties: bool) -> None:
    score, _, gains = rows(1, ties=ties)
    found = Lists(np.zeros(40, dtype=np.int64), k=1).by(score).contributions(gains)
    for gain, parts in zip(gains, found, strict=True):
        for i in range(40):
            slow = np.sum(np.sign(score[i] - score) * (gain[i] - gain))
            assert parts[i] == pytest.approx(slow, abs=1e-12)


def test_equal_scores_share_across_no_border_of_lists() -> None:
    arranged = Lists(np.array([0, 0, 1, 1]), k=1).by(np.ones(4))
    np.testing.assert_allclose(arranged.discount, 0.5)
    np.testing.assert_allclose(arranged.pull, 0)


@pytest.mark.parametrize("count", [0, 1])
def test_one_row_or_none(count: int) -> None:
    arranged = Lists(np.zeros(count, dtype=np.int64), k=5).by(np.ones(count))
    assert arranged.pulls(np.ones((3, count))).tolist() == [[0.0] * count] * 3
    assert arranged.discounted(np.ones((3, count))).tolist() == [[1.0] * count] * 3
    assert arranged.contributions(np.ones((3, count))).shape == (3, count)


def test_many_lists_are_told_apart() -> None:
    codes = np.arange(70_000)
    np.testing.assert_array_equal(Lists(codes, k=1).by(-codes.astype(float)).order, codes)


def test_gains_known_of_the_same_rows_are_gathered() -> None:
    nothing = np.nan
    gains = np.array([[1.0, 2, 3], [nothing, 5, 6], [7, 8, 9], [nothing, 2, 1]])
    first, second = blocks(gains)
    assert list(first.which) == [0, 2]
    assert list(second.which) == [1, 3]
    np.testing.assert_array_equal(second.gains, [[5, 6], [2, 1]])
    np.testing.assert_array_equal(second.known, [False, True, True])
