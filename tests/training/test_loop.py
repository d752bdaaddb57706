from typing import Any

import pytest

from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.training.build import build_state
from trimtab.training.in_memory import train_in_memory

RUN: dict[str, Any] = {
    "data": {"time": "time_ms", "user": "user_id", "valid": "2d"},
    "features": {"user_id": "id", "item_id": "id"},
    "targets": {"stop": "binary", "click": {"kind": "binary", "weight": 2.0}},
    "training": {"epochs": 1, "batch_rows": 256, "evaluations": 4},
}


@pytest.mark.parametrize(("kind", "moves"), [("fixed", False), ("uncertainty", True)])
def test_a_measurement_holds_the_weights_that_balancing_used(kind: str, moves: bool) -> None:
    settings = parse(RUN | {"balancing": {"kind": kind}})
    log = simulate(SimulationSettings(rows=4000, users=300, items=200)).log
    prepared = prepare(settings.plan(), log)
    state = build_state(settings, prepared)
    train_in_memory(state, settings, prepared)
    found = [entry["weights"] for entry in state.curves]
    assert len(found) == 4
    assert found[-1] == state.balancer.weights()
    assert (found[0] != found[-1]) == moves
    assert found[0].keys() == {"stop", "click"}
