import numpy as np
import polars as pl
import torch

from trimtab.config.load import parse
from trimtab.data.prepare import prepare
from trimtab.training.build import build_state
from trimtab.training.loop import train
from trimtab.training.state import State


def state_of(**training: object) -> tuple[State, object, object]:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"user": random.integers(0, 9, 120), "click": random.integers(0, 2, 120)}
    ).with_columns(held_out=pl.Series(np.arange(120) % 6 == 0))
    settings = parse(
        {
            "data": {"valid": {"column": "held_out", "values": [True]}},
            "features": {"user": "id"},
            "targets": {"click": "binary"},
            "training": {"batch_rows": 20, "epochs": 2, "evaluations": 1, **training},
        }
    )
    prepared = prepare(settings.plan(), frame)
    return build_state(settings, prepared), prepared.train, settings.training


def test_tables_start_anew_and_the_rest_goes_on() -> None:
    state, _, _ = state_of()
    start = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    for optimizer in state.optimizers:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            parameter.grad = torch.ones_like(parameter)
            if parameter is state.model.features.tables.weight:
                parameter.grad = parameter.grad.to_sparse(1)
        optimizer.step()
    before = torch.get_rng_state()
    state.renew(0)
    assert torch.equal(torch.get_rng_state(), before)
    table = state.model.features.tables.weight
    assert not torch.equal(table, start["features.tables.weight"])  # Another draw than the first.
    assert table.std() < 0.02
    assert not state.optimizers[1].state[table]["sum"].any()
    again, _, _ = state_of()
    again.renew(0)
    assert torch.equal(again.model.features.tables.weight, table)
    tower = dict(state.model.named_parameters())["towers.all.heads.click.weight"]
    assert not torch.equal(tower, start["towers.all.heads.click.weight"])


def test_once_an_epoch() -> None:
    state, rows, training = state_of(renew_tables=True)
    renewed = []
    renew = state.renew
    state.renew = lambda seed: (renewed.append(state.step), renew(seed))[1]  # type: ignore[method-assign]
    train(
        state,
        rows,  # type: ignore[arg-type]
        training,  # type: ignore[arg-type]
        evaluate=lambda: {"click": float(state.step)},
        save=lambda state, better: None,
        progress=lambda state, rows: None,
    )
    assert renewed == [5]
    assert state.step == 10
