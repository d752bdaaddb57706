import torch

from trimtab.balancing.rlw import RLW, RLWSettings

WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


def draw(balancer: RLW) -> torch.Tensor:
    balancer.backward({n: torch.tensor(1.0, requires_grad=True) for n in WEIGHTS}, [], [])
    return balancer.used.clone()


def test_weights_are_a_softmax_of_normal_numbers() -> None:
    balancer = RLWSettings().build(WEIGHTS)
    torch.manual_seed(3)
    found = draw(balancer)
    torch.manual_seed(3)
    expected = torch.tensor(list(WEIGHTS.values())) * 3 * torch.randn(3).softmax(0)
    torch.testing.assert_close(found, expected)


def test_every_update_draws_anew_and_a_seed_draws_again() -> None:
    balancer = RLW(WEIGHTS)
    torch.manual_seed(5)
    first = [draw(balancer) for _ in range(4)]
    torch.manual_seed(5)
    again = [draw(balancer) for _ in range(4)]
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_their_mean_is_the_targets_weight() -> None:
    balancer = RLW(WEIGHTS)
    mean = torch.stack([draw(balancer) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, torch.tensor([1.0, 2.0, 0.5]), rtol=0.05, atol=0)
