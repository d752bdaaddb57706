import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from trimtab.balancing.uncertainty import Uncertainty, UncertaintySettings

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


def test_gradients_are_those_of_the_formula(
    network: Callable[..., Any], close: Callable[..., None]
) -> None:
    net, balancer = network(), Uncertainty(WEIGHTS)
    balancer.log_variance.data = torch.tensor([0.3, -0.2, 1.0])
    found = net.balanced(balancer)
    s = balancer.log_variance.detach().double().requires_grad_()
    losses = net.losses()
    total = sum(
        weight * ((-s[i]).exp() * losses[name] + s[i] / 2)
        for i, (name, weight) in enumerate(WEIGHTS.items())
    )
    total.backward()
    close(found, net.gradients())
    torch.testing.assert_close(balancer.log_variance.grad, s.grad.float())


def test_a_weight_settles_at_one_over_twice_the_loss() -> None:
    """Whatever the target's weight: it says how much the target counts, not how uncertain it is."""
    balancer = UncertaintySettings().build({"a": 1.0, "b": 3.0})
    optimizer = torch.optim.Adam(balancer.parameter_groups(), lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        losses = {"a": torch.tensor(4.0, requires_grad=True), "b": torch.tensor(0.1)}
        balancer.backward(losses, [], [])
        optimizer.step()
    assert balancer.weights() == pytest.approx({"a": 1 / 8, "b": 3 / 0.2}, rel=1e-3)


def test_what_is_not_observed_does_not_sink(network: Callable[..., Any]) -> None:
    """By ``s / 2`` alone its weight would double every so many batches without it."""
    balancer = Uncertainty(WEIGHTS)
    network().balanced(balancer, without="b")
    assert balancer.log_variance.grad is not None
    assert balancer.log_variance.grad[1] == 0
    assert balancer.log_variance.grad[0] != 0


def test_a_negative_loss_is_fine() -> None:
    """That of a density may be."""
    balancer = Uncertainty({"a": 1.0})
    balancer.backward({"a": torch.tensor(-2.0, requires_grad=True)}, [], [])
    assert balancer.log_variance.grad == 2.5
    assert math.isclose(balancer.weights()["a"], 1.0)


def test_no_weight_decay() -> None:
    (group,) = Uncertainty(WEIGHTS).parameter_groups()
    assert group["weight_decay"] == 0
