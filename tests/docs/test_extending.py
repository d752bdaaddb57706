"""The trunk of docs/extending.md runs as written: tested, trained, and found in a package.

In processes of its own, so that the kind is not registered in this one.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL))


def log(rows: int = 4000) -> pl.DataFrame:
    """Return clicks that follow from the product of two numbers, and from neither alone."""
    draw = np.random.default_rng(0)
    price, taste = draw.normal(size=(2, rows))
    click = draw.random(rows) < 1 / (1 + np.exp(-8 * price * taste))
    return pl.DataFrame({"price": price, "taste": taste, "click": click.astype(int)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    log().write_parquet(tmp_path / "log.parquet")
    return tmp_path


def run(folder: Path, *arguments: str, path: Path | None = None) -> str:
    """Return what a Python process in ``folder`` printed; it must succeed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(path or folder)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_are_there() -> None:
    assert list(FILES) == ["cross.py", "test_cross.py", "run.toml", "train.py", "pyproject.toml"]


def test_it_learns(folder: Path) -> None:
    assert float(run(folder, "train.py").split()[-1]) > 0.85
    settings = json.loads((folder / "runs" / "cross" / "settings.json").read_text("utf-8"))
    assert settings["trunk"] == {"kind": "cross", "width": 8}


def test_its_tests_and_the_contracts_pass(folder: Path) -> None:
    (command,) = re.findall(r"```bash\nPYTHONPATH=\S+ python (.*?)\n```", PAGE)
    own = ["-p", "no:cacheprovider", str(folder / "test_cross.py")]
    printed = run(ROOT, *command.split(), *own, path=folder)
    (passed,) = re.findall(r"(\d+) passed", printed)
    assert int(passed) > 10


def test_a_package_offers_it(folder: Path) -> None:
    """As installed: the module, and beside it what an installer writes of the entry points."""
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    (group,) = project["entry-points"]
    site = folder / "site"
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (folder / "cross.py").rename(site / "cross.py")
    lines = [f"{name} = {place}" for name, place in project["entry-points"][group].items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]), encoding="utf-8")
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        encoding="utf-8",
    )
    run(folder, "-m", "trimtab", "train", "run.toml", "--out", "run", path=site)
    assert (folder / "run" / "metrics.json").exists()
