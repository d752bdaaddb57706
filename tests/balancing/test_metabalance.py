from collections.abc import Callable
from typing import Any

import pytest
import torch

from trimtab.balancing.metabalance import MetaBalanceSettings

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


@pytest.mark.parametrize("at", ["output", "parameters"])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("toward", [None, "b"])
def test_gradients_are_the_papers(
    network: Callable[..., Any],
    close: Callable[..., None],
    at: str,
    apart: bool,
    toward: str | None,
) -> None:
    """Twice; the reference's averages start from 0, which cancels in their ratio."""
    net = network(apart=apart)
    settings = MetaBalanceSettings(at=at, keep=0.9, share=0.7, toward=toward)  # type: ignore[arg-type]
    balancer, main = settings.build(WEIGHTS), "abc".index(toward or "a")
    averages = torch.zeros(3).double()
    for scale in (1.0, 3.0):
        net.labels = {name: scale * label for name, label in net.labels.items()}
        _, rows = net.apart_at(at)
        averages = 0.9 * averages + 0.1 * rows.norm(dim=1)
        merged = torch.zeros_like(rows[0])
        for i, weight in enumerate(WEIGHTS.values()):
            like_main = averages[main] / averages[i] * rows[i]
            merged = merged + weight * (0.7 * like_main + 0.3 * rows[i])
        close(net.balanced(balancer), net.led_through(merged, net.plain(WEIGHTS), at))


def test_the_main_target_keeps_its_gradient(network: Callable[..., Any]) -> None:
    net, balancer = network(), MetaBalanceSettings(toward="c").build(WEIGHTS)
    net.balanced(balancer)
    assert balancer.weights()["c"] == pytest.approx(0.5)


def test_without_the_main_target_its_last_norms_count(network: Callable[..., Any]) -> None:
    net, balancer = network(), MetaBalanceSettings(keep=0.0).build(WEIGHTS)
    net.balanced(balancer, without="a")
    assert balancer.weights() == WEIGHTS, "nothing is known of it yet"
    net.balanced(balancer)
    known = balancer.weights()
    net.balanced(balancer, without="a")
    assert balancer.weights() == pytest.approx(known)
    assert known["b"] != WEIGHTS["b"]


def test_the_first_learnt_target_is_the_main_one() -> None:
    assert MetaBalanceSettings().build({"a": 0.0, "b": 1.0, "c": 1.0}).toward == 0
    assert MetaBalanceSettings(toward="c").build({"a": 0.0, "b": 1.0, "c": 1.0}).toward == 1


def test_a_main_target_must_be_learnt() -> None:
    def problems(toward: str) -> list[str]:
        return MetaBalanceSettings(toward=toward).problems({"click": 1.0, "like": 0.0})

    assert problems("click") == []
    (unknown,), (off,) = problems("clik"), problems("like")
    assert unknown == "balancing.toward: no target named 'clik'. Did you mean 'click'?"
    assert off == "balancing.toward: 'like' has weight 0; expected a target to learn"
