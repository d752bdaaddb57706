"""Cross-entropies in C++ against PyTorch's, in double precision."""

import math

import pytest
import torch

from trimtab.native.losses import cross_entropies
from trimtab.targets.binary import cross_entropies as slow


@pytest.mark.parametrize("rows", [0, 1, 16, 1000])
@pytest.mark.parametrize("targets", [1, 5])
def test_losses_and_gradients_are_those_of_the_formula(rows: int, targets: int) -> None:
    logits = torch.randn(rows, targets) * torch.logspace(-3, 2, targets)
    labels = (torch.rand(rows, targets) < 0.4).float()
    labels[torch.rand(rows, targets) < 0.2] = torch.nan
    ours = logits.clone().requires_grad_()
    exact = logits.double().requires_grad_()
    weight = torch.rand(targets, rows)
    found = cross_entropies(list(ours.split(1, 1)), list(labels.unbind(1)))
    wanted = slow(list(exact.split(1, 1)), list(labels.double().unbind(1)))
    (found * weight).sum().backward()
    (wanted * weight).sum().backward()
    torch.testing.assert_close(found, wanted.float(), rtol=1e-6, atol=1e-30)
    assert ours.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(ours.grad, exact.grad.float(), rtol=2e-6, atol=1e-30)


def test_over_all_logits_that_matter() -> None:
    logit = torch.linspace(-86, 86, 200_001)[:, None].requires_grad_()
    label = torch.ones(len(logit))
    loss = cross_entropies([logit], [label])
    (slope,) = torch.autograd.grad(loss.sum(), logit)
    exact = logit.detach().double()
    torch.testing.assert_close(
        loss[0], -torch.nn.functional.logsigmoid(exact)[:, 0].float(), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(slope, -torch.sigmoid(-exact).float(), rtol=1e-6, atol=0)


def test_a_confident_mistake_keeps_its_gradient_and_what_is_not_finite_shows() -> None:
    logit = torch.tensor([[-1e30], [1e30], [math.nan], [math.inf], [-math.inf]]).requires_grad_()
    loss = cross_entropies([logit], [torch.ones(5)])[0]
    (slope,) = torch.autograd.grad(loss[:2].sum(), logit)
    assert loss[:2].tolist() == [pytest.approx(1e30), pytest.approx(0, abs=1e-37)]
    assert slope[:2, 0].tolist() == [-1, pytest.approx(0, abs=1e-37)]
    assert loss[2].isnan()
    assert loss[4] == math.inf


def test_a_missing_label_is_no_loss_at_any_logit() -> None:
    logits = torch.tensor([[0.3], [math.inf], [-math.inf], [math.nan]], requires_grad=True)
    loss = cross_entropies([logits], [torch.full((4,), math.nan)])
    loss.sum().backward()
    assert loss.tolist() == [[0, 0, 0, 0]]
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0]] * 4


def test_neither_threads_nor_other_targets_nor_place_change_a_bit() -> None:
    logits, labels = torch.randn(40, 3), (torch.rand(40, 3) < 0.5).float()
    together = cross_entropies(list(logits.split(1, 1)), list(labels.unbind(1)))
    for i in range(40):
        alone = cross_entropies([logits[i : i + 1, 2:]], [labels[i : i + 1, 2]])
        assert torch.equal(alone[0, 0], together[2, i])
