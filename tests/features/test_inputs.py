import pytest
import torch
from torch import Tensor, nn

from trimtab.batch import Batch
from trimtab.features.encoder import REPEATED, FeatureEncoder, IdFeature
from trimtab.features.inputs import Dense, Embedded, Inputs

TABLES = {"user": 5, "item": 4, "hour": 3}


def encoder(*, own_width: int, first_order: bool, dropout: float = 0.0) -> FeatureEncoder:
    made = FeatureEncoder(
        [IdFeature(name=name, table=name) for name in TABLES],
        [],
        tables=TABLES,
        numbers=[0, 3],
        targets=["click", "like"],
        width=4,
        own_width=own_width,
        first_order=first_order,
        deviation=1.0,
        dropout=dropout,
    ).double()
    made.tables.reset_parameters()
    return made


def batch(rows: int) -> Batch:
    ids = [torch.randint(0, size, (rows,)) for size in TABLES.values()]
    return Batch(
        ids=torch.stack(ids, 1).int(),
        lists={},
        numbers=torch.randn(rows, 2, dtype=torch.float64),
        scene=torch.zeros(rows, dtype=torch.int64),
        labels={},
        weights={},
    )


def gradients(made: FeatureEncoder, layer: nn.Linear, out: Tensor) -> list[Tensor]:
    made.zero_grad()
    layer.zero_grad()
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    table = made.tables.weight.grad
    assert table is not None
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    return [table.to_dense(), layer.weight.grad, layer.bias.grad]


@pytest.mark.parametrize(("own_width", "first_order"), [(0, False), (2, True)])
def test_projecting_distinct_ids_equals_the_layer_over_x(own_width: int, first_order: bool) -> None:
    made = encoder(own_width=own_width, first_order=first_order)
    layer = nn.Linear(made.out_width, 6, dtype=torch.float64)
    inputs = made(batch(200))
    assert type(inputs.x) is Embedded
    fast = inputs.x.project(layer)
    ours = gradients(made, layer, fast)
    slow = layer(inputs.shared)
    torch.testing.assert_close(fast, slow)
    for one, other in zip(ours, gradients(made, layer, slow), strict=True):
        torch.testing.assert_close(one, other)


def test_x_is_the_same_either_way() -> None:
    made, rows = encoder(own_width=2, first_order=True), batch(60)
    repeated = made(rows)
    single = [made(rows.apply(lambda tensor, i=i: tensor[i : i + 1])) for i in range(60)]
    assert {type(inputs.x) for inputs in single} == {Dense}
    torch.testing.assert_close(repeated.shared, torch.cat([inputs.shared for inputs in single]))
    for part in ("own", "first_order"):
        for target, value in getattr(repeated, part).items():
            rows_apart = torch.cat([getattr(inputs, part)[target] for inputs in single])
            torch.testing.assert_close(value, rows_apart)


def test_few_repeats_and_dropout_are_computed_densely() -> None:
    few = batch(REPEATED)
    assert type(encoder(own_width=0, first_order=False)(few).x) is Dense
    dropped = encoder(own_width=0, first_order=False, dropout=0.5)(batch(200))
    assert type(dropped.x) is Dense


def test_a_dense_x_is_projected_by_the_layer() -> None:
    x, layer = torch.randn(7, 5), nn.Linear(5, 3)
    inputs = Inputs(x=Dense(x), own={}, first_order={}, scene=torch.zeros(7, dtype=torch.int64))
    torch.testing.assert_close(inputs.x.project(layer), layer(x))
    assert inputs.shared is x
