import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from trimtab.balancing.torchjd import Aggregator, TorchJDSettings
from trimtab.errors import SettingsError

pytestmark = pytest.mark.skipif(find_spec("torchjd") is None, reason="torchjd is optional")
NO_SOLVER = pytest.mark.skipif(find_spec("cvxpy") is None, reason="cagrad needs cvxpy")
AGGREGATORS = [
    pytest.param(name, marks=NO_SOLVER if name == "cagrad" else ()) for name in get_args(Aggregator)
]
WEIGHTS = {"a": 1.0, "b": 2.0}
OPPOSED = torch.tensor([[1.0, 0.0, 1.0], [-2.0, 1.0, 0.5]]).double()


def merged(aggregator: str, rows: Tensor, weights: dict[str, float] | None = None) -> Tensor:
    weights = weights or dict.fromkeys("abcde"[: len(rows)], 1.0)
    balancer = TorchJDSettings(aggregator=aggregator).build(weights)  # type: ignore[arg-type]
    factors = balancer.weigh(torch.ones(len(rows)), (rows @ rows.t()).float())
    return factors.double() @ rows


def projected(first: Tensor, second: Tensor) -> Tensor:
    """Return the first without what opposes the second."""
    return first - min(first @ second, torch.zeros(()).double()) / (second @ second) * second


@pytest.mark.parametrize("aggregator", ["upgrad", "pcgrad"])
def test_two_targets_lose_what_opposes_the_other(aggregator: str) -> None:
    first, second = OPPOSED
    expected = projected(first, second) + 2 * projected(second, first)
    found = merged(aggregator, OPPOSED, WEIGHTS)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_upgrad_harms_no_target() -> None:
    for _ in range(20):
        rows = torch.randn(4, 6).double() * torch.tensor([1.0, 1e-3, 10.0, 1e-2]).view(4, 1)
        found = merged("upgrad", rows)
        cosine = rows @ found / rows.norm(dim=1) / found.norm()
        assert (cosine > -1e-3).all()


def test_imtl_g_projects_alike_on_all() -> None:
    rows = torch.randn(3, 6).double()
    found = merged("imtl_g", rows)
    along = rows @ found / rows.norm(dim=1)
    torch.testing.assert_close(along, along.mean().expand(3), rtol=1e-4, atol=0)


def test_aligned_mtl_makes_principal_directions_alike() -> None:
    rows, weights = torch.randn(3, 6).double(), {"a": 1.0, "b": 3.0, "c": 0.5}
    u, sigma, v = torch.linalg.svd(rows, full_matrices=False)
    expected = torch.tensor([1.0, 3.0, 0.5]).double() @ (sigma[-1] * u @ v)
    found = merged("aligned_mtl", rows, weights)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@NO_SOLVER
def test_cagrad_stays_within_its_radius_of_the_sum() -> None:
    rows = torch.randn(3, 6).double()
    found, total = merged("cagrad", rows), rows.sum(0)
    assert (found - total).norm() <= 0.4 * total.norm() * 1.001
    assert (rows @ found).min() >= (rows @ total).min()


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_the_size_of_gradients_is_of_no_account(aggregator: str) -> None:
    """Those of a batch's mean are so small that TorchJD alone takes them for zero."""
    rows = torch.randn(3, 6).double()
    states = []
    for scale in (1.0, 1e-6):
        torch.manual_seed(1)  # pcgrad draws an order.
        states.append(merged(aggregator, scale * rows) / scale)
    torch.testing.assert_close(states[0], states[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_at_right_angles_it_is_the_plain_sum(aggregator: str) -> None:
    """Times a constant for cagrad, which goes its radius beyond."""
    found = merged(aggregator, torch.eye(3).double())
    scale = 1.4 if aggregator == "cagrad" else 1.0
    torch.testing.assert_close(found, scale * torch.ones(3).double(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("at", ["output", "parameters"])
def test_what_is_merged_takes_the_place_of_the_plain_gradient(
    network: Callable[..., Any],
    close: Callable[..., None],
    aggregator: Any,
    at: Any,
    apart: bool,
) -> None:
    weights = dict.fromkeys("abc", 1.0)
    net = network(apart=apart)
    balancer = TorchJDSettings(aggregator=aggregator, at=at).build(weights)
    losses, rows = net.apart_at(at)
    torch.manual_seed(1)
    found = net.balanced(balancer)
    torch.manual_seed(1)
    factors = balancer.weigh(losses, rows @ rows.t()).double()
    nothing_meets = at == "output" and apart  # Each gradient is on a tensor of its own.
    conflicts = aggregator in ("upgrad", "pcgrad")
    assert (factors.std() == 0) == (nothing_meets and conflicts)
    close(found, net.led_through(factors @ rows, net.plain(weights), at))


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_what_is_not_observed_changes_nothing(aggregator: str) -> None:
    rows = torch.randn(2, 6).double()
    torch.manual_seed(1)
    alone = merged(aggregator, rows)
    torch.manual_seed(1)
    beside = merged(aggregator, torch.cat([rows, torch.zeros(1, 6).double()]))
    torch.testing.assert_close(beside, alone)
    assert not merged(aggregator, torch.zeros(2, 6).double()).any()


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_a_weight_pulls(aggregator: str) -> None:
    if aggregator == "imtl_g":
        pytest.skip("refuses weights, see below")
    rows = torch.eye(2).double()
    found = merged(aggregator, rows, {"a": 4.0, "b": 1.0})
    assert found[0] / found[1] > 1.4


def test_weights_that_would_be_of_no_account_are_refused() -> None:
    settings = TorchJDSettings(aggregator="imtl_g")
    assert settings.problems({"a": 2.0, "b": 2.0, "c": 0.0}) == []
    (problem,) = settings.problems({"a": 2.0, "b": 1.0})
    assert problem.startswith("balancing.aggregator: 'imtl_g' pulls every target alike")
    assert problem.endswith("found a 2, b 1")
    assert TorchJDSettings().problems({"a": 2.0, "b": 1.0}) == []


@pytest.mark.parametrize("missing", ["torchjd.aggregation", "quadprog"])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr("torchjd._mixins.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'trimtab\[torchjd\]'"):
        TorchJDSettings().build(WEIGHTS)
