import pytest
import torch

from trimtab.balancing.norms import AverageNorms


@pytest.mark.parametrize("keep", [0.0, 0.9])
def test_average_of_what_was_seen(keep: float) -> None:
    norms = AverageNorms(2, keep)
    series = [[1.0, 5.0], [2.0, 0.0], [4.0, 7.0]]
    for batch in series:
        found = norms(torch.tensor(batch))
    for target in range(2):
        seen = [batch[target] for batch in series if batch[target]]
        shares = [keep ** (len(seen) - 1 - i) for i in range(len(seen))]
        mean = sum(s * x for s, x in zip(shares, seen, strict=True)) / sum(shares)
        assert found[target].item() == pytest.approx(mean, rel=1e-5)


def test_never_seen_is_zero() -> None:
    assert AverageNorms(2, 0.9)(torch.tensor([0.0, 3.0])).tolist() == pytest.approx([0, 3.0])
