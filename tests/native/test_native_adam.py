import pytest
import torch
from torch import nn

from trimtab.native.adam import update
from trimtab.training.adam import FusedAdamW


def test_is_pytorchs_to_rounding() -> None:
    sizes = [(3,), (17, 2), (), (200, 300)]
    ours, theirs = ([nn.Parameter(torch.ones(size)) for size in sizes] for _ in "ab")
    options = {"lr": 0.01, "weight_decay": 0.1}
    a = FusedAdamW([{"params": ours}], **options, update=update)  # type: ignore[arg-type]
    b = FusedAdamW([{"params": theirs}], **options)  # type: ignore[arg-type]
    for step in range(7):
        for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn(x.shape)
            x.grad = y.grad = None if (step + i) % 3 == 0 else gradient
        a.step()
        b.step()
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)
        for key, value in b.state[y].items():
            torch.testing.assert_close(a.state[x][key], value, rtol=1e-6, atol=1e-9)


def test_a_gradient_that_is_not_finite_is_not_hidden() -> None:
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([torch.nan, 1.0])
    FusedAdamW([{"params": [weight]}], lr=0.5, weight_decay=0.0, update=update).step()
    assert weight.isnan().tolist() == [True, False]
    assert weight[1].item() == pytest.approx(0.5)
