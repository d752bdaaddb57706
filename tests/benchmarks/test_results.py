"""What benchmarks go on from: only what was measured with the same settings."""

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what imports a module of the benchmarks."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield import_module
    for name in set(sys.modules) - before:
        if BENCHMARKS in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]


def test_lines_of_other_settings_are_left_alone(benchmark: Any, tmp_path: Path) -> None:
    module = benchmark("results_file")
    path = tmp_path / "results.jsonl"
    few = module.ResultsFile(path, {"rows": 10, "changes": []})
    assert few.done() == []
    line = few.add({"seed": 0})
    assert line == {"rows": 10, "changes": [], "seed": 0}
    for settings in ({"rows": 20, "changes": []}, {"rows": 10, "changes": ["a=1"]}):
        other = module.ResultsFile(path, settings)
        assert other.done() == []
        other.add({"seed": 0})
    assert few.done() == [line]
    path.write_text('{"seed": 0}\n', encoding="utf-8")  # Of nobody knows which settings.
    assert few.done() == []


def test_no_file(benchmark: Any) -> None:
    file = benchmark("results_file").ResultsFile(None, {"rows": 10})
    assert file.add({"seed": 1}) == {"rows": 10, "seed": 1}
    assert file.done() == []


def test_the_interval_is_of_as_many_values_as_there_are(benchmark: Any) -> None:
    half_width = benchmark("results_file").half_width
    assert half_width([1.0, 3.0]) == pytest.approx(12.71)
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.30 / 3**0.5)
    assert half_width([1.0]) != half_width([1.0])


def test_a_training_is_known_by_its_epochs_evaluations_and_patience(benchmark: Any) -> None:
    trials = benchmark("quality.trials")
    own = SimpleNamespace(epochs=10, evaluations=1, patience=6)
    facts = {"rows": {"train": "of abc", "valid": "of def"}}
    dataset = SimpleNamespace(name="log", settings=SimpleNamespace(training=own), facts=facts)
    named = {"system": "system", "model": "model", "settings": {"patience": 50}}
    trees = SimpleNamespace(**named, in_epochs=False, run=None)
    peer = SimpleNamespace(**named, in_epochs=True, run=None)
    ours = SimpleNamespace(**named, in_epochs=True, run="a run file")

    def training(candidate: Any, **limits: int) -> tuple[dict[str, int], str]:
        budget = trials.Budget(seeds=1, trials=1, threads=1, epochs=6, **limits)
        trial = trials.trial_of(dataset, candidate, budget, factor=1.0, seed=0)
        assert trial["settings"] == {"patience": 50}
        return trial["training"], trials.key_of(trial)

    assert training(trees)[0] == {}
    assert training(trees, patience=2) == training(trees)
    assert training(peer)[0] == {"epochs": 6, "evaluations": 1, "patience": 6}
    other = training(peer, evaluations=4, patience=5)
    assert other[0] == {"epochs": 6, "evaluations": 4, "patience": 5}
    assert other[1] != training(peer)[1]
    assert training(ours, evaluations=4)[0] == {"epochs": 10, "evaluations": 1, "patience": 6}
    assert training(ours, own_epochs=6)[0]["epochs"] == 6
