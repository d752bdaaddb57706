import torch

from trimtab.batch import Batch, Ids
from trimtab.features.attention import TargetAttention, softmax_of_rows
from trimtab.features.encoder import FeatureEncoder, IdFeature
from trimtab.layers import initialise


def slow(attention: TargetAttention, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Weigh one row's list the obvious way."""
    scores = [
        attention.out(attention.score(torch.cat([q, one, q - one, q * one])[None]))[0, 0]
        for one in k
    ]
    return (torch.stack(scores).softmax(0)[:, None] * k).sum(0)


def test_equal_to_a_loop_over_rows() -> None:
    attention = TargetAttention(3, [5]).double()
    lengths = torch.tensor([2, 0, 4, 1])
    query, keys = torch.randn(4, 3).double(), torch.randn(7, 3).double()
    pooled = attention(query, keys, keys, lengths)
    parts = keys.split(lengths.tolist())
    for row, part in enumerate(parts):
        expected = slow(attention, query[row], part) if len(part) else torch.zeros(3).double()
        torch.testing.assert_close(pooled[row], expected)


def test_the_gradient_is_that_of_finite_differences() -> None:
    attention = TargetAttention(2, [4]).double()
    lengths = torch.tensor([3, 0, 2])
    query = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda q, k: attention(q, k, k, lengths), (query, keys), atol=1e-6
    )


def test_weights_of_a_row_sum_to_one_and_hold_large_scores() -> None:
    row = torch.tensor([0, 0, 2])
    weights = softmax_of_rows(torch.tensor([1000.0, 999.0, -1000.0]), row, 3)
    torch.testing.assert_close(weights[:2], torch.tensor([1.0, 0.0]).softmax(0))
    assert weights[2] == 1


def encoder(pool: str) -> FeatureEncoder:
    made = FeatureEncoder(
        [IdFeature(name="item", table="item"), IdFeature(name="user", table="user")],
        [
            IdFeature(
                name="seen", table="item", pool=pool, query="item" if pool == "attention" else None
            )
        ],
        tables={"item": 6, "user": 3},
        numbers=[],
        targets=["click"],
        width=4,
        own_width=2,
        first_order=True,
        deviation=1.0,
        dropout=0.0,
        attention_hidden=[3],
    )
    initialise(made, 0)
    return made


def batch() -> Batch:
    return Batch(
        ids=torch.tensor([[1, 0], [5, 2], [2, 1]], dtype=torch.int32),
        lists={
            "seen": Ids(
                values=torch.tensor([1, 4, 3], dtype=torch.int32), lengths=torch.tensor([2, 0, 1])
            )
        },
        numbers=torch.zeros(3, 0),
        scene=torch.zeros(3, dtype=torch.int64),
        labels={},
        weights={},
    )


def test_the_own_and_first_order_blocks_are_weighed_alike() -> None:
    made, data = encoder("attention"), batch()
    inputs = made(data)
    rows = made.tables.weight
    parts = torch.split(rows, [4, 2, 1], 1)
    seen = rows[[1, 4]]
    q, k = parts[0][1], parts[0][[1, 4]]
    attention = made.attention["seen"]
    weight = attention.out(attention.score(torch.cat([q.expand(2, 4), k, q - k, q * k], 1)))
    expected = (weight.softmax(0) * seen).sum(0)
    torch.testing.assert_close(inputs.shared[0, 12:16], expected[:4])
    torch.testing.assert_close(inputs.own["click"][0, 3], expected[4:6])


def test_an_empty_list_gives_zeros_and_one_value_is_itself() -> None:
    inputs, plain = encoder("attention")(batch()), encoder("mean")(batch())
    assert (inputs.shared[1, 12:16] == 0).all()
    torch.testing.assert_close(inputs.shared[2], plain.shared[2])
    assert not torch.allclose(inputs.shared[0], plain.shared[0])
