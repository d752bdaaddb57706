import pytest
import torch

from trimtab.errors import RunError
from trimtab.training import watch
from trimtab.training.watch import Watch

NAN, FINE = torch.tensor(float("nan")), torch.tensor(1.5)


def test_a_processor_is_told_at_once() -> None:
    seen = Watch()
    seen.see(1, FINE, {"click": FINE})
    with pytest.raises(RunError, match=r"step 1,234 \(click 1.5, like nan\)"):
        seen.see(1234, NAN, {"click": FINE, "like": NAN})


class Elsewhere(torch.Tensor):
    """A number that says it is on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("meta")


def test_elsewhere_the_first_is_remembered_until_someone_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *a, device=None, **k: zeros(*a, **k))
    seen = Watch()
    for step in range(1, watch.INTERVAL):
        loss = NAN if step >= 7 else FINE
        seen.see(step, loss.as_subclass(Elsewhere), {"click": loss})
    with pytest.raises(RunError, match="step 7 "):
        seen.require_finite()
    with pytest.raises(RunError, match="step 7 "):
        seen.see(watch.INTERVAL, FINE.as_subclass(Elsewhere), {"click": FINE})


def test_nothing_seen_is_fine() -> None:
    Watch().require_finite()
