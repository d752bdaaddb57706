from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import trimtab
from trimtab.config.load import parse
from trimtab.config.training import TrainingSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.simulate import SimulationSettings, simulate
from trimtab.evaluation.predict import predict
from trimtab.model import RankingModel
from trimtab.training import checkpoint
from trimtab.training.build import build_state
from trimtab.training.folder import MODEL
from trimtab.training.in_memory import train_in_memory
from trimtab.training.peaks import own_columns, own_weights, put, serve
from trimtab.training.state import TABLE

RUN: dict[str, Any] = {
    "data": {"time": "time_ms", "user": "user_id", "valid": "2d"},
    "features": {"user_id": "id", "item_id": "id"},
    "targets": {
        "stop": "binary",
        "click": {"kind": "binary", "given": "stop"},
        "dwell": {"kind": "number", "column": "dwell"},
    },
    "training": {"epochs": 2, "batch_rows": 256},
    "report": {"importance": False},
}
TARGETS = list(RUN["targets"])


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return simulate(SimulationSettings(rows=4000, users=300, items=200)).log


@pytest.fixture(scope="module")
def prepared(log: pl.DataFrame) -> Prepared:
    return prepare(parse(RUN).plan(), log)


def model_of(prepared: Prepared) -> RankingModel:
    return build_state(parse(RUN), prepared).model


def weights(model: RankingModel, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
    return {name: t.clone() for name, t in model.state_dict().items()} | drawn


def test_own_parts_are_nobody_elses(prepared: Prepared) -> None:
    model = model_of(prepared)
    columns = [c for t in TARGETS for s in own_columns(model, t) for c in range(s.start, s.stop)]
    shared = model.features.tables.blocks["shared"]
    assert sorted(columns) == list(range(shared, model.features.tables.weight.shape[1]))
    names = [name for t in TARGETS for name in own_weights(model, t)]
    assert len(names) == len(set(names))
    rest = set(model.state_dict()) - set(names)
    assert not [name for name in rest if name.startswith(("own.", "targets.")) or "heads" in name]
    assert TABLE in rest


def test_only_the_target_and_those_behind_it_change(prepared: Prepared) -> None:
    model = model_of(prepared)
    states = {1: weights(model, 1), 2: weights(model, 2)}
    put(model, 1, {}, states.__getitem__)
    before = predict(model, prepared.valid)
    put(model, 1, {"click": 2}, states.__getitem__)
    after = predict(model, prepared.valid)
    assert (after["click"] != before["click"]).any()
    assert (after["stop"] == before["stop"]).all()
    assert (after["dwell"] == before["dwell"]).all()
    put(model, 1, dict.fromkeys(TARGETS, 2), states.__getitem__)
    for name, tensor in model.state_dict().items():
        whose = any(name in own_weights(model, target) for target in TARGETS)
        wanted = states[2 if whose else 1][name]
        if name == TABLE:
            wanted = torch.cat([states[1][name][:, :16], states[2][name][:, 16:]], 1)
        assert torch.equal(tensor, wanted), name


def entry(step: int, **metrics: float) -> dict[str, Any]:
    return {"step": step, "score": sum(metrics.values()) / len(metrics), "metrics": metrics}


def test_a_target_is_taken_from_its_peak_only_where_that_is_better(prepared: Prepared) -> None:
    """Stop peaks last, the others earlier: click gains by its own parts from then, dwell loses."""
    model = model_of(prepared)
    curves = [entry(1, stop=0.6, click=0.9, dwell=0.71), entry(2, stop=0.8, click=0.8, dwell=0.7)]
    states = {1: weights(model, 1), 2: weights(model, 2)}

    def evaluate() -> dict[str, float]:
        heads = model.towers["all"].heads
        late = {
            t: torch.equal(heads[t].weight, states[2][f"towers.all.heads.{t}.weight"])
            for t in TARGETS
        }
        shared_late = torch.equal(model.trunk.bottom[0].weight, states[2]["trunk.bottom.0.weight"])
        if shared_late:
            return {"stop": 0.8, "click": 0.8 if late["click"] else 0.88,
                    "dwell": 0.7 if late["dwell"] else 0.6}  # fmt: skip
        return dict.fromkeys(TARGETS, 0.5)

    served = serve(model, curves, TrainingSettings(), read=states.__getitem__, evaluate=evaluate)
    assert (served.step, served.own) == (2, {"click": 1})
    assert served.metrics == {"stop": 0.8, "click": 0.88, "dwell": 0.7} == evaluate()
    epochs = [one | {"epoch": one["step"] / 2} for one in curves]
    assert (
        served.told(epochs)
        == "shared parts from epoch 1.00, the own parts of click from epoch 0.50"
    )


def test_one_evaluation_is_served_as_it_is(prepared: Prepared) -> None:
    model = model_of(prepared)
    states = {1: weights(model, 1)}
    curves = [entry(1, stop=0.6, click=float("nan"), dwell=0.7)]

    def never() -> dict[str, float]:
        raise AssertionError

    served = serve(model, curves, TrainingSettings(), read=states.__getitem__, evaluate=never)
    assert (served.step, served.own) == (1, {})
    assert served.told([curves[0] | {"epoch": 0.5}]) == "epoch 0.50"
    assert torch.equal(model.state_dict()[TABLE], states[1][TABLE])


@pytest.mark.parametrize("own_peaks", [True, False])
def test_a_run_serves_what_training_in_memory_does(
    log: pl.DataFrame, prepared: Prepared, tmp_path: Path, own_peaks: bool
) -> None:
    settings = parse(RUN | {"training": RUN["training"] | {"own_peaks": own_peaks}})
    run = trimtab.train(settings, log, out=tmp_path / "run")
    _, facts = checkpoint.load(run.folder / MODEL)
    state = build_state(settings, prepared)
    served = train_in_memory(state, settings, prepared)
    assert served.step == facts["served"]["step"]
    assert served.own == facts["served"]["own"]
    assert served.metrics == pytest.approx(facts["served"]["metrics"])
    score = sum(v or 0.0 for v in served.metrics.values()) / 3
    assert score >= max(one["score"] for one in state.curves) - 1e-12
