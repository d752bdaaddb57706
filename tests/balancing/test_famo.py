from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trimtab.balancing.famo import FAMO, FAMOSettings

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


def slow(xi: Tensor, losses: list[float], before: list[float], decay: float) -> tuple[Any, Any]:
    """The paper's algorithm: weights of the losses, and the slope of xi by autograd."""
    xi = xi.double().requires_grad_()
    weight = torch.tensor(list(WEIGHTS.values())).double()
    z = (xi + weight.log()).softmax(0)
    now, then = torch.tensor(losses).double(), torch.tensor(before).double()
    c = 1 / (z / now).sum()
    (slope,) = torch.autograd.grad(z, xi, then.log() - now.log())
    return weight.sum() * (c * z / now).detach(), slope + decay * xi.detach()


def step(balancer: FAMO, losses: list[float]) -> None:
    named = {n: torch.tensor(x, requires_grad=True) for n, x in zip(WEIGHTS, losses, strict=True)}
    balancer.backward(named, [], [])


def test_weights_and_slope_are_the_papers() -> None:
    balancer = FAMOSettings(decay=0.01).build(WEIGHTS)
    balancer.xi.data = torch.tensor([0.1, -0.4, 0.7])
    step(balancer, [3.0, 1.0, 0.2])
    step(balancer, [2.0, 1.1, 0.15])
    weights, slope = slow(balancer.xi.detach(), [2.0, 1.1, 0.15], [3.0, 1.0, 0.2], 0.01)
    torch.testing.assert_close(balancer.used.double(), weights, rtol=1e-5, atol=0)
    assert balancer.xi.grad is not None
    torch.testing.assert_close(balancer.xi.grad.double(), slope, rtol=1e-4, atol=1e-7)


def test_gradients_are_those_of_the_log_losses(
    network: Callable[..., Any], close: Callable[..., None]
) -> None:
    net, balancer = network(), FAMO(WEIGHTS, learning_rate=0.1, decay=0.0)
    found = net.balanced(balancer)
    losses = net.losses()
    z = {n: w / sum(WEIGHTS.values()) for n, w in WEIGHTS.items()}
    c = 1 / sum(z[n] / losses[n].item() for n in z)
    (sum(WEIGHTS.values()) * c * sum(z[n] * losses[n].log() for n in z)).backward()
    close(found, net.gradients())


def test_what_fell_most_comes_to_weigh_less() -> None:
    balancer = FAMO({"a": 1.0, "b": 1.0}, learning_rate=0.025, decay=1e-3)
    optimizer = torch.optim.Adam(balancer.parameter_groups())
    for i in range(50):
        optimizer.zero_grad()
        losses = {"a": torch.tensor(0.9**i, requires_grad=True), "b": torch.tensor(1.0)}
        balancer.backward(losses, [], [])
        optimizer.step()
    z = balancer.xi.detach().softmax(0)
    assert z[0] < 0.3


def test_the_first_batch_teaches_nothing() -> None:
    balancer = FAMO(WEIGHTS, learning_rate=0.1, decay=0.1)
    step(balancer, [3.0, 1.0, 0.2])
    assert balancer.xi.grad is not None
    assert not balancer.xi.grad.any()


def test_what_is_not_observed_fell_as_much_as_the_rest() -> None:
    balancer = FAMO(WEIGHTS, learning_rate=0.1, decay=0.0)
    step(balancer, [3.0, 1.0, 0.2])
    step(balancer, [2.0, 0.0, 0.15])
    assert balancer.xi.grad is not None
    assert balancer.xi.grad[1] == 0
    assert balancer.weights()["b"] == 0
    assert sum(balancer.weights().values()) == pytest.approx(1.5)
    # And its loss is compared with the last one that was observed.
    step(balancer, [2.0, 0.5, 0.15])
    _, slope = slow(balancer.xi.detach(), [2.0, 0.5, 0.15], [2.0, 1.0, 0.15], 0.0)
    torch.testing.assert_close(balancer.xi.grad.double(), slope, rtol=1e-4, atol=1e-7)


def test_its_learning_rate_is_its_own() -> None:
    (group,) = FAMOSettings(learning_rate=0.5).build(WEIGHTS).parameter_groups()
    assert group["lr"] == 0.5
    assert group["weight_decay"] == 0
