import pytest
import torch
from pydantic import ValidationError

from trimtab.features.inputs import Dense, Inputs
from trimtab.trunks import SharedBottom, SharedBottomSettings


def inputs(x: torch.Tensor) -> Inputs:
    scene = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(x=Dense(x), own={}, first_order={}, scene=scene)


def test_golden() -> None:
    """Two layers worked out by hand: relu(relu(x A + a) B + b)."""
    trunk = SharedBottom(2, ["click", "like"], widths=[2, 1])
    first, _, second, _ = trunk.bottom
    first.weight.data = torch.tensor([[1.0, 2.0], [-1.0, 1.0]])  # type: ignore[union-attr]
    first.bias.data = torch.tensor([0.5, -0.5])  # type: ignore[union-attr]
    second.weight.data = torch.tensor([[2.0, -3.0]])  # type: ignore[union-attr]
    second.bias.data = torch.tensor([1.0])  # type: ignore[union-attr]
    # (1, 1) -> (3.5, 0) -> 8; (-1, 2) -> (3.5, 2.5) -> .5; (-2, 3) -> (4.5, 4.5) -> relu(-3.5)
    x = torch.tensor([[1.0, 1.0], [-1.0, 2.0], [-2.0, 3.0]])
    out = trunk(inputs(x))
    assert torch.equal(out["click"], torch.tensor([[8.0], [0.5], [0.0]]))
    assert out["like"] is out["click"]


def test_default_is_64_32_16() -> None:
    trunk = SharedBottomSettings().build(10, 0, {"all": []}, 1)
    shapes = [tuple(p.shape) for p in trunk.parameters()]
    assert shapes == [(64, 10), (64,), (32, 64), (32,), (16, 32), (16,)]
    assert trunk.out_width == 16


def test_all_targets_share_one_task() -> None:
    assert SharedBottomSettings().tasks(["a", "b"]) == {"a": "all", "b": "all"}


def test_everything_is_shared() -> None:
    trunk = SharedBottom(3, ["a"], widths=[4], norm="layer")
    assert list(trunk.shared_parameters()) == list(trunk.parameters())


def test_no_layers_hand_the_inputs_on() -> None:
    trunk, x = SharedBottom(3, ["a"], widths=[]), torch.randn(2, 3)
    assert trunk.out_width == 3
    assert torch.equal(trunk(inputs(x))["a"], x)


def test_settings_reach_the_network() -> None:
    settings = SharedBottomSettings(widths=[5], activation="tanh", dropout=0.25, norm="batch")
    names = [type(layer).__name__ for layer in settings.build(3, 0, {"all": []}, 1).bottom]
    assert names == ["Linear", "BatchNorm", "Tanh", "Dropout"]


@pytest.mark.parametrize("wrong", [{"widths": [0]}, {"dropout": 1.0}, {"width": [3]}], ids=str)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SharedBottomSettings.model_validate(wrong)
