from collections.abc import Callable
from typing import Any

import pytest
import torch

from trimtab.balancing.gls import GLS, GLSSettings
from trimtab.errors import RunError

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


@pytest.mark.parametrize("without", ["", "b", "ab"])
def test_gradients_are_those_of_the_geometric_mean(
    network: Callable[..., Any], close: Callable[..., None], without: str
) -> None:
    net, balancer = network(), GLSSettings().build(WEIGHTS)
    found = net.balanced(balancer, without)
    losses = net.losses(without=without)
    seen = {name: weight for name, weight in WEIGHTS.items() if name not in without}
    product, total = torch.ones(()).double(), sum(seen.values())
    for name, weight in seen.items():
        product = product * losses[name] ** weight
    (total * product ** (1 / total)).backward()
    close(found, net.gradients())


def test_with_even_weights_it_is_the_root_of_the_product() -> None:
    losses = {n: torch.tensor(x, requires_grad=True) for n, x in (("a", 2.0), ("b", 8.0))}
    GLS({"a": 1.0, "b": 1.0}).backward(losses, [], [])
    # 2 sqrt(xy): the derivatives are sqrt(y / x) and sqrt(x / y).
    assert losses["a"].grad == pytest.approx(2.0)
    assert losses["b"].grad == pytest.approx(0.5)


def test_the_scale_of_a_loss_is_of_no_account(network: Callable[..., Any]) -> None:
    net, balancer = network(), GLS({"a": 1.0, "b": 1.0})
    found = []
    for scale in (1.0, 1e6):
        net.zero_grad()
        losses = net.losses()
        balancer.backward({"a": losses["a"], "b": scale * losses["b"]}, [], [])
        found.append(net.trunk.grad / net.trunk.grad.norm())
    torch.testing.assert_close(found[0], found[1])


def test_a_negative_loss_is_refused_by_name() -> None:
    losses = {n: torch.tensor(x, requires_grad=True) for n, x in (("a", 2.0), ("b", -8.0))}
    with pytest.raises(RunError, match=r"negative \(b -8\)"):
        GLS({"a": 1.0, "b": 1.0}).backward(losses, [], [])
