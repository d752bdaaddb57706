import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from trimtab.data.labels import read_labels
from trimtab.targets import Binary, DurationSettings, Given
from trimtab.targets.binary import BinarySettings
from trimtab.targets.funnel import reached_and_missed


def given(*steps: torch.Tensor) -> Given:
    return Given(steps=steps, happened=torch.ones(len(steps[0])))


def test_one_step_is_the_cross_entropy() -> None:
    z = torch.linspace(-40, 40, 81, dtype=torch.float64, requires_grad=True)
    for label in (0.0, 1.0):
        y = torch.full_like(z, label)
        reached, missed = reached_and_missed([z])
        ours = -torch.where(y == 1, reached, missed)
        theirs = binary_cross_entropy_with_logits(z, y, reduction="none")
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(
            torch.autograd.grad(ours.sum(), z), torch.autograd.grad(theirs.sum(), z)
        )


@pytest.mark.parametrize("steps", [2, 3])
def test_more_steps_are_the_product(steps: int) -> None:
    logits = [torch.randn(1000, dtype=torch.float64) * 2 for _ in range(steps)]
    product = torch.stack([z.sigmoid() for z in logits]).prod(0)
    reached, missed = reached_and_missed(logits)
    torch.testing.assert_close(reached, product.log())
    torch.testing.assert_close(missed, (1 - product).log())
    target = Binary("b")
    *before, last = logits
    torch.testing.assert_close(target.predict(last[:, None], given(*before)), product)
    y = (torch.rand(1000) < 0.5).double()
    torch.testing.assert_close(
        target.loss(last[:, None], {"b": y}, given(*before)),
        -(y * product.log() + (1 - y) * (1 - product).log()),
    )


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_confident_steps_keep_every_digit(signs: tuple[int, int]) -> None:
    """Rationals do not round: e^40 is a whole number of 18 digits, near enough."""
    e40 = Fraction(math.exp(40))
    odds = [e40 if sign > 0 else 1 / e40 for sign in signs]
    product = math.prod(o / (1 + o) for o in odds)
    z = [torch.tensor([40.0 * sign], dtype=torch.float64) for sign in signs]
    reached, missed = reached_and_missed(z)
    assert reached.exp().item() == pytest.approx(float(product), rel=1e-12)
    assert missed.exp().item() == pytest.approx(float(1 - product), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [2, 3])
def test_a_confident_mistake_keeps_its_gradient(dtype: torch.dtype, steps: int) -> None:
    z = torch.full((steps, 1), 80.0, dtype=dtype, requires_grad=True)
    *before, last = z.unbind(0)
    loss = Binary("b").loss(last[:, None], {"b": torch.zeros(1, dtype=dtype)}, given(*before))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    # -log(1 - p) with 1 - p = sum of e^-z: every step has its share of the one unit.
    assert loss.item() == pytest.approx(80 - math.log(steps), rel=1e-5)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 1 / steps))


def test_a_wrongly_sure_miss_pushes_every_step_up() -> None:
    z = torch.full((2, 1), -80.0, requires_grad=True)
    loss = Binary("b").loss(z[1][:, None], {"b": torch.ones(1)}, given(z[0]))
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    torch.testing.assert_close(gradient, torch.full_like(gradient, -1.0))


def test_gradient_reaches_every_step_on_every_row() -> None:
    z = torch.randn(3, 50, dtype=torch.float64)
    y = (torch.rand(50) < 0.5).double()

    def loss(z: torch.Tensor) -> torch.Tensor:
        return Binary("c", positive_weight=3.0).loss(z[2][:, None], {"c": y}, given(z[0], z[1]))

    assert torch.autograd.gradcheck(loss, (z.requires_grad_(),))
    (gradient,) = torch.autograd.grad(loss(z).sum(), z)
    assert (gradient != 0).all()


def test_a_null_where_the_earlier_step_did_not_happen_is_a_zero() -> None:
    targets = {
        "a": BinarySettings(),
        "b": BinarySettings(given="a"),
        "c": BinarySettings(given="b"),
        "seconds": DurationSettings(given="b"),
    }
    columns = {k: v for name, t in targets.items() for k, v in t.labels(name, targets).items()}
    frame = pl.DataFrame(
        {
            "a": [0, 1, 1, None, 1, 0],
            "b": [None, None, 1, None, 0, 1],
            "c": [None, None, None, None, None, None],
            "seconds": [None, None, 2.5, None, None, None],
        },
        schema_overrides={"c": pl.Int8},
    )
    # The order of the targets must not matter: the last step may be written first.
    for order in (list(columns), list(reversed(columns))):
        labels = read_labels(frame, {name: columns[name] for name in order})
        unknown = np.nan
        np.testing.assert_array_equal(labels["a"], [0, 1, 1, unknown, 1, 0])
        np.testing.assert_array_equal(labels["b"], [0, unknown, 1, unknown, 0, 1])
        np.testing.assert_array_equal(labels["c"], [0, unknown, unknown, unknown, 0, unknown])
        np.testing.assert_array_equal(labels["seconds"], [0, unknown, 2.5, unknown, 0, unknown])
