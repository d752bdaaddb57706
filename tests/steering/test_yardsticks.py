from collections.abc import Callable

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.steering.candidates import Candidates
from trimtab.steering.yardsticks import yardstick


@pytest.mark.parametrize("metric", ["utility", "ndcg@3"])
def test_many_is_one_after_another(metric: str, many: Callable[[int], Candidates]) -> None:
    rows = many(200)
    measure = yardstick(metric, rows, ["click", "play"])
    weights = np.array([[1.0, 0], [1, 1e-5], [0, 2]])
    scores = [a * rows.predictions["click"] + b * rows.predictions["play"] for a, b in weights]
    np.testing.assert_allclose(measure.many(weights), [measure.one(score) for score in scores])
    assert measure.many(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("metric", ["auc", "ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "utility@3"])
def test_refused(metric: str, many: Callable[[int], Candidates]) -> None:
    with pytest.raises(InputError, match="no metric .* 'utility' .* every target.* or 'ndcg@10'"):
        yardstick(metric, many(10), ["click"])


def test_an_ndcg_that_is_not_defined(many: Callable[[int], Candidates]) -> None:
    rows = many(10)
    rows.labels["like"][:] = -1
    with pytest.raises(InputError, match="'like' has no outcome above 0"):
        yardstick("ndcg@3", rows, ["click", "like"])
