from collections.abc import Callable
from typing import Any

import torch

from trimtab.balancing.fixed import FixedSettings, FixedWeights


def test_weighted_sum() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert FixedWeights({"a": 0.5, "b": 4.0}).combine(losses) == 13


def test_weight_zero_takes_no_part_at_all() -> None:
    """Not even as zero times infinity, nor in the graph."""
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(torch.inf, requires_grad=True)
    total = FixedWeights({"a": 1.0, "b": 0.0}).combine({"a": a * 1, "b": b * 1})
    total.backward()
    assert total == 2
    assert b.grad is None


def test_weights_are_not_normalised() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert FixedWeights({"a": 10.0, "b": 10.0}).combine(losses) == 50


def test_gradients_are_those_of_the_sum(network: Callable[..., Any]) -> None:
    weights, net = {"a": 1.0, "b": 2.5, "c": 0.3}, network()
    balancer = FixedSettings().build(weights)
    found, expected = net.balanced(balancer), net.plain(weights)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert balancer.weights() == {n: torch.tensor(w).item() for n, w in weights.items()}
    assert list(balancer.parameters()) == []
