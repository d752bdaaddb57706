import torch
from torch import nn

from trimtab.training.adam import FusedAdamW


def test_is_pytorchs_bit_for_bit() -> None:
    ours, theirs = ([nn.Parameter(torch.linspace(-1, 1, n)) for n in (3, 17, 1, 5)] for _ in "ab")
    decays = (0.0, 0.1)

    def groups(weights: list[nn.Parameter]) -> list[dict[str, object]]:
        return [{"params": weights[:3]}, {"params": weights[3:], "weight_decay": decays[1]}]

    a = FusedAdamW(groups(ours), lr=0.01, weight_decay=decays[0])
    b = torch.optim.AdamW(groups(theirs), lr=0.01, weight_decay=decays[0], fused=True)
    for step in range(5):
        for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            x.grad = y.grad = None if (step + i) % 3 == 0 else torch.randn_like(x)
        a.step()
        b.step()
    for x, y in zip(ours, theirs, strict=True):
        assert torch.equal(x, y)
        assert {k: v.tolist() for k, v in a.state[x].items()} == {
            k: v.tolist() for k, v in b.state[y].items()
        }


def test_nothing_to_do_without_gradients() -> None:
    weight = nn.Parameter(torch.ones(3))
    FusedAdamW([{"params": [weight]}], lr=0.1, weight_decay=0.5).step()
    assert weight.tolist() == [1, 1, 1]
