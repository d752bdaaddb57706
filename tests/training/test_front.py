import math
from pathlib import Path

import pytest
import torch

from trimtab.config.training import TrainingSettings
from trimtab.training.front import FRONT, WORDS, choose, front, keep, path_of


def curves(*metrics: tuple[float, float]) -> list[dict[str, object]]:
    return [
        {"step": i, "metrics": {"click": a, "like": b}, "score": (a + b) / 2}
        for i, (a, b) in enumerate(metrics, 1)
    ]


def steps(entries: list[dict[str, object]]) -> list[object]:
    return [entry["step"] for entry in front(entries)]


def test_kept_is_what_no_other_beats() -> None:
    assert steps(curves((0.6, 0.6), (0.7, 0.7), (0.72, 0.69), (0.71, 0.68))) == [2, 3]


def test_the_first_of_equals_is_kept() -> None:
    assert steps(curves((0.7, 0.7), (0.7, 0.7))) == [1]


def test_a_metric_that_is_not_known_never_counts_for_an_entry() -> None:
    assert steps(curves((0.7, math.nan), (0.7, 0.6))) == [2]
    assert steps(curves((0.6, 0.6), (math.nan, math.nan))) == [1]


def test_the_rules() -> None:
    # Step 2 has the higher mean; step 1 gives up .02 of .22 where step 2 gives up .05 of .3.
    entries = curves((0.70, 0.80), (0.72, 0.80 - 0.05 + 0.04), (0.80, 0.75))
    assert choose(entries, "mean")["step"] == 3
    entries = curves((0.70, 0.80), (0.72, 0.75))
    assert choose(entries, "mean")["step"] == 1
    assert choose(entries, "smallest_loss")["step"] == 1
    entries = curves((0.60, 0.95), (0.70, 0.80), (0.69, 0.86))
    assert choose(entries, "mean")["step"] == 1
    assert choose(entries, "smallest_loss")["step"] == 3


def test_the_rule_is_in_the_settings_and_in_words() -> None:
    for rule in WORDS:
        assert TrainingSettings.model_validate({"choose": rule}).choose == rule
    with pytest.raises(ValueError, match="choose"):
        TrainingSettings.model_validate({"choose": "median"})


def test_files_follow_the_front(tmp_path: Path) -> None:
    entries = curves((0.6, 0.6), (0.7, 0.5), (0.65, 0.4), (0.8, 0.8))
    names = []
    for i in range(1, 5):
        keep(tmp_path, entries[:i], {"w": torch.full((2,), float(i))})
        names.append({path.name for path in (tmp_path / FRONT).glob("*")})
    assert names[0] == {"step-1.safetensors"}
    assert names[1] == names[2] == {"step-1.safetensors", "step-2.safetensors"}
    assert names[3] == {"step-4.safetensors"}
    assert path_of(tmp_path, 4).exists()


def test_where_nothing_is_known_the_last_is_served() -> None:
    entries = [{"step": i, "metrics": {"click": None}, "score": None} for i in (2, 5, 8)]
    assert steps(entries) == [8]
    assert choose(entries, "mean")["step"] == choose(entries, "smallest_loss")["step"] == 8
