import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trimtab.layers import MLP, TowerSettings, initialise, seed_of


def names(mlp: MLP) -> list[str]:
    return [type(layer).__name__ for layer in mlp]


def test_layers_stand_in_order() -> None:
    mlp = MLP(3, [5, 4], activation="silu", dropout=0.1, norm="layer")
    assert names(mlp) == ["Linear", "LayerNorm", "SiLU", "Dropout"] * 2
    assert mlp.out_width == 4
    assert mlp(torch.randn(7, 3)).shape == (7, 4)


def test_what_does_nothing_is_left_out() -> None:
    assert names(MLP(3, [5, 4])) == ["Linear", "ReLU"] * 2
    assert names(MLP(3, [5], activation="identity")) == ["Linear"]


def test_no_layers_hand_the_input_on() -> None:
    mlp, x = MLP(3, []), torch.randn(2, 3)
    assert mlp.out_width == 3
    assert mlp(x) is x


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", torch.relu),
        ("silu", nn.functional.silu),
        ("gelu", nn.functional.gelu),
        ("tanh", torch.tanh),
        ("identity", lambda x: x),
    ],
)
def test_activations(name: str, function: nn.Module) -> None:
    mlp, x = MLP(3, [4], activation=name), torch.randn(5, 3)  # type: ignore[arg-type]
    assert torch.equal(mlp(x), function(mlp[0](x)))


def test_layer_norm_does_not_mix_rows() -> None:
    mlp, x = MLP(3, [4], norm="layer"), torch.randn(5, 3)
    torch.testing.assert_close(mlp(x)[:2], mlp(x[:2]))


@pytest.mark.parametrize("rows", [0, 1])
def test_batch_norm_bears_a_batch_of_one_row_or_none(rows: int) -> None:
    """A rare scene has one row in many batches, where no deviation can be learnt."""
    mlp = MLP(3, [4], norm="batch")
    mlp(torch.randn(50, 3) * 3 + 1)
    x = torch.randn(rows, 3, requires_grad=True)
    norm = mlp[1]
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    out = mlp.train()(x)
    assert torch.equal(out, mlp.eval()(x))
    out.sum().backward()
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_batch_norm_is_pytorchs_otherwise() -> None:
    mlp, twin = MLP(4, [4], norm="batch", activation="identity"), nn.BatchNorm1d(4)
    for _ in range(3):
        x = torch.randn(20, 4)
        assert torch.equal(mlp(x), twin(mlp[0](x)))
    assert torch.equal(mlp.eval()(x), twin.eval()(mlp[0](x)))


def test_dropout_ends_with_training() -> None:
    mlp, x = MLP(3, [100], dropout=0.5), torch.randn(4, 3)
    assert not torch.equal(mlp.train()(x), mlp(x))
    assert torch.equal(mlp.eval()(x), mlp(x))


def two(**parts: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(parts)


def test_start_depends_on_the_seed_and_the_name() -> None:
    small = two(a=nn.Linear(4, 3), b=nn.Linear(4, 3))
    large = two(z=nn.Linear(9, 9), b=nn.Linear(4, 3), new=nn.Linear(2, 2), a=nn.Linear(4, 3))
    for model in (small, large):
        initialise(model, 7)
    assert torch.equal(small["a"].weight, large["a"].weight)
    assert torch.equal(small["b"].bias, large["b"].bias)
    assert not torch.equal(small["a"].weight, small["b"].weight)
    before = small["a"].weight.clone()
    initialise(small, 7)
    assert torch.equal(small["a"].weight, before)
    initialise(small, 8)
    assert not torch.equal(small["a"].weight, before)


def test_start_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    model = two(a=nn.Linear(4, 3))
    torch.manual_seed(3)
    initialise(model, 7)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_of_names_differ_and_stay() -> None:
    seeds = {seed_of(seed, name) for seed in range(20) for name in ("a", "b", "a.b", "")}
    assert len(seeds) == 80
    assert seed_of(1, "1/x") != seed_of(11, "/x")
    # Written down: a checkpoint of today must start the same tomorrow.
    assert seed_of(0, "trunk.bottom.0") == 8055423128069136


@pytest.mark.parametrize(
    "wrong",
    [{"widths": [0]}, {"widths": [-1]}, {"dropout": -0.1}, {"dropout": 1.0}, {"norm": "group"}],
    ids=str,
)
def test_a_tower_that_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TowerSettings.model_validate(wrong)


def test_a_tower_may_have_no_hidden_layer() -> None:
    assert TowerSettings(widths=[]).widths == []
