from collections.abc import Callable
from typing import Any

import pytest
import torch

from trimtab.balancing.db_mtl import DBMTL, DBMTLSettings
from trimtab.errors import RunError

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


@pytest.mark.parametrize("at", ["output", "parameters"])
@pytest.mark.parametrize("apart", [False, True])
def test_gradients_are_the_papers(
    network: Callable[..., Any], close: Callable[..., None], at: str, apart: bool
) -> None:
    """Twice: the norms of the second batch are averaged with those of the first."""
    net, balancer = network(apart=apart), DBMTLSettings(at=at, keep=0.6).build(WEIGHTS)
    sums, counted = torch.zeros(3).double(), 0.0
    for scale in (1.0, 3.0):
        net.labels = {name: scale * label for name, label in net.labels.items()}
        losses, rows = net.apart_at(at)
        logs = rows / losses[:, None]
        sums = 0.6 * sums + 0.4 * logs.norm(dim=1)
        counted = 0.6 * counted + 0.4
        norms = sums / counted
        weight = torch.tensor(list(WEIGHTS.values())).double()
        merged = (weight * norms.max() / norms) @ logs
        expected = net.led_through(merged, net.plain(WEIGHTS), at)
        close(net.balanced(balancer), expected)


def test_without_an_average_all_log_gradients_are_as_long_as_the_longest(
    network: Callable[..., Any],
) -> None:
    net, balancer = network(), DBMTL(dict.fromkeys("abc", 1.0), at="output", keep=0.0)
    _, rows = net.apart_at("output")
    net.balanced(balancer)
    lengths = (balancer.used[:, None] * rows).norm(dim=1)
    torch.testing.assert_close(lengths, lengths.max().expand(3))


def test_what_is_not_observed_keeps_its_average(network: Callable[..., Any]) -> None:
    net, balancer = network(), DBMTL(WEIGHTS, at="output", keep=0.6)
    net.balanced(balancer)
    before = balancer.norms.sums.clone(), balancer.norms.counted.clone()
    net.balanced(balancer, without="b")
    assert balancer.norms.sums[1] == before[0][1]
    assert balancer.norms.counted[1] == before[1][1]
    assert balancer.weights()["b"] == 0


def test_a_negative_loss_is_refused(network: Callable[..., Any]) -> None:
    net, balancer = network(), DBMTL({"a": 1.0}, at="output", keep=0.6)
    losses = net.losses()
    with pytest.raises(RunError, match="no logarithm"):
        balancer.backward({"a": losses["a"] - 1e6}, net.representations, [net.trunk])
