"""The demo, on a small feed."""

import json
from pathlib import Path

import pytest

from trimtab.data.simulate import SimulationSettings
from trimtab.errors import InputError
from trimtab.training.demo import demo
from trimtab.training.progress import Silent

SMALL = SimulationSettings(rows=8_000, users=100, items=50)


def test_the_demo_comes_near_the_truth_and_may_be_run_again(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    for _ in range(2):
        run, gaps = demo(folder, Silent(), SMALL)
    assert set(gaps) == {"stop", "click", "like"}
    assert 0.6 < gaps["stop"]["learnt"] < gaps["stop"]["best"] + 0.02
    assert gaps == json.loads((folder / "truth.json").read_text())
    assert (run.folder / "report.html").exists()


def test_the_demo_deletes_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo(folder, Silent(), SMALL)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt is in it"):
        demo(folder, Silent(), SMALL)
    (folder / "notes.txt").unlink()
    run_file = folder / "demo.toml"
    run_file.write_text(run_file.read_text() + "# mine\n")
    with pytest.raises(InputError, match="was edited"):
        demo(folder, Silent(), SMALL)
    assert run_file.read_text().endswith("# mine\n")
