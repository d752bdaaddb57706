"""A network small enough to write each method out beside it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]


class Network(nn.Module):
    """A table, a layer that all targets share, and a head a target; ``apart`` splits the layer."""

    def __init__(self, *, apart: bool = False) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(5, 3, dtype=torch.float64))
        self.trunk = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
        self.heads = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(4, dtype=torch.float64)) for name in "abc"}
        )
        self.apart = apart
        self.ids = torch.randint(0, 5, (8,))
        self.labels = {name: torch.randn(8, dtype=torch.float64) for name in "abc"}
        self.representations: list[Tensor] = []

    def losses(self, *, without: str = "") -> Losses:
        """Return mean squared errors, 0 for a target without observed rows, and keep h."""
        h = self.table[self.ids] @ self.trunk
        tasks = {name: h.tanh() * (i + 1) ** self.apart for i, name in enumerate("abc")}
        tasks = tasks if self.apart else dict.fromkeys("abc", tasks["a"])
        self.representations = list({id(x): x for x in tasks.values()}.values())
        errors = {n: tasks[n] @ head - self.labels[n] for n, head in self.heads.items()}
        return {n: (e.square() * (n not in without)).mean() for n, e in errors.items()}

    def gradients(self) -> dict[str, Tensor]:
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in self.named_parameters()
        }

    def plain(self, weights: dict[str, float], without: str = "") -> dict[str, Tensor]:
        """Return the gradients of the losses' weighted sum."""
        self.zero_grad()
        losses = self.losses(without=without)
        torch.stack([weight * losses[name] for name, weight in weights.items()]).sum().backward()
        found = self.gradients()
        self.zero_grad()
        return found

    def balanced(self, balancer: nn.Module, without: str = "") -> dict[str, Tensor]:
        """Return the gradients that a balancer gives."""
        self.zero_grad()
        losses = self.losses(without=without)
        balancer.backward(losses, self.representations, [self.trunk])  # type: ignore[operator]
        found = self.gradients()
        self.zero_grad()
        return found

    def apart_at(self, place: str, without: str = "") -> tuple[Tensor, Tensor]:
        """Return each target's loss, and its gradient at the trunk's output or parameters."""
        losses = list(self.losses(without=without).values())
        places = self.representations if place == "output" else [self.trunk]
        rows = [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        loss, places, retain_graph=True, allow_unused=True, materialize_grads=True
                    )
                ]
            )
            for loss in losses
        ]
        return torch.stack(losses).detach(), torch.stack(rows)

    def led_through(
        self, merged: Tensor, plain: dict[str, Tensor], place: str
    ) -> dict[str, Tensor]:
        """Return the gradients when ``merged`` stands at a place and the rest is plain."""
        if place == "parameters":
            return plain | {"trunk": merged.view_as(self.trunk)}
        self.losses()
        parts = merged.split([x.numel() for x in self.representations])
        outer = [part.view_as(x) for part, x in zip(parts, self.representations, strict=True)]
        table, trunk = torch.autograd.grad(self.representations, [self.table, self.trunk], outer)
        return plain | {"table": table, "trunk": trunk}


@pytest.fixture
def network() -> Callable[..., Network]:
    return Network


@pytest.fixture
def close() -> Callable[[dict[str, Tensor], dict[str, Tensor]], None]:
    def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        assert found.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-7, msg=name)

    return check
