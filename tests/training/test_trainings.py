from types import SimpleNamespace
from typing import Any

from trimtab.training.trainings import Trainings

CURVES = [
    {"step": 1, "epoch": 0.5, "metrics": {"click": 0.70, "play": 0.60}, "score": 0.650},
    {"step": 2, "epoch": 1.0, "metrics": {"click": 0.80, "play": 0.55}, "score": 0.675},
    {"step": 3, "epoch": 1.5, "metrics": {"click": 0.60, "play": None}, "score": 0.600},
]


def line(*which: str) -> str:
    state: Any = SimpleNamespace(best=0.675, curves=CURVES, seconds=7.0)
    trainings = Trainings(show=False)
    trainings.next(*which)
    trainings.evaluated(state)
    return trainings.line


def test_the_line_of_one_target_is_of_that_target() -> None:
    assert line("play alone", "play") == "0.6000  1.50 epochs  7 s"
    assert line("all targets, seed 2") == "0.6750  1.50 epochs  7 s"
