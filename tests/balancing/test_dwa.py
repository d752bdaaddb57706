import math

import pytest
import torch

from trimtab.balancing.dwa import DWA, DWASettings

WEIGHTS = {"a": 1.0, "b": 2.0}


def step(balancer: DWA, a: float, b: float) -> dict[str, float]:
    losses = {"a": torch.tensor(a, requires_grad=True), "b": torch.tensor(b, requires_grad=True)}
    balancer.backward(losses, [], [])
    for name, weight in balancer.weights().items():
        assert losses[name].grad == pytest.approx(weight)
    return balancer.weights()


def test_weights_are_the_papers() -> None:
    """Three windows of two updates: even, even, then by the ratio of the first two's means."""
    balancer = DWASettings(temperature=2.0, window=2).build(WEIGHTS)
    for a, b in [(2.0, 1.0), (4.0, 3.0), (1.0, 2.0), (0.5, 2.0)]:
        assert step(balancer, a, b) == {"a": 1.0, "b": 2.0}
    a, b = math.exp(0.75 / 3 / 2), math.exp(2 / 2 / 2)
    expected = {"a": 1 * 2 * a / (a + b), "b": 2 * 2 * b / (a + b)}
    assert step(balancer, 1.0, 1.0) == pytest.approx(expected)
    assert step(balancer, 7.0, 1.0) == pytest.approx(expected), "they change once a window"
    assert step(balancer, 1.0, 1.0) != pytest.approx(expected)


def test_means_are_over_the_batches_that_observe_a_target() -> None:
    seldom, always = (
        DWA(WEIGHTS, temperature=2.0, window=2),
        DWA(WEIGHTS, temperature=2.0, window=2),
    )
    for rare, often in [((3.0, 1.0), (3.0, 1.0)), ((3.0, 0.0), (3.0, 1.0))]:
        step(seldom, *rare)
        step(always, *often)
    torch.testing.assert_close(seldom.means, always.means)


def test_a_window_without_a_target_leaves_its_weight_even() -> None:
    balancer = DWA(WEIGHTS, temperature=2.0, window=1)
    for b in (0.0, 0.0, 5.0, 0.0, 5.0):
        found = step(balancer, 1.0, b)
        assert found == {"a": 1.0, "b": 2.0}
