from pathlib import Path

import pytest

from trimtab.errors import InputError, RunError
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Additive
from trimtab.steering.formulas.additive import Weight
from trimtab.steering.profiles import FILE, Profiles, even

GROWTH = Additive(weights={"click": Weight(weight=1.0)})


def test_saved_and_loaded(tmp_path: Path) -> None:
    assert Profiles.load(tmp_path) == Profiles()
    both = Profiles().with_profile("growth", GROWTH).with_profile("quality", GROWTH)
    both.save(tmp_path)
    again = Profiles.load(tmp_path)
    assert again == both
    assert again.current == "quality"
    assert again.with_current("growth").current == "growth"
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_refused(tmp_path: Path) -> None:
    one = Profiles().with_profile("growth", GROWTH)
    with pytest.raises(InputError, match="no profile named 'grow'.*growth"):
        one.with_current("grow")
    with pytest.raises(InputError, match="letters, digits"):
        one.with_profile("../growth", GROWTH)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(RunError, match="cut short"):
        Profiles.load(tmp_path)
    (tmp_path / FILE).write_text('{"current": "a", "profiles": {"a": {"kind": "additiv"}}}')
    with pytest.raises(InputError, match="a"):
        Profiles.load(tmp_path)


def test_even_weights_let_each_target_count_alike(rows: Candidates) -> None:
    formula = even(rows)
    assert list(formula.weights) == ["click", "like", "play"]
    assert formula.weights["click"].weight == pytest.approx(1 / 0.4, rel=0.01)
    assert formula.weights["play"].weight == pytest.approx(1 / 54000, rel=0.01)
