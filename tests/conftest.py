"""Shapes are checked, seeds are fixed, and nothing is written outside a test's own folder."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Only where tensors flow: elsewhere there are no shapes to check.
install_import_hook(
    [
        "trimtab.balancing",
        "trimtab.batch",
        "trimtab.features",
        "trimtab.layers",
        "trimtab.model",
        "trimtab.own",
        "trimtab.targets",
        "trimtab.towers",
        "trimtab.trunks",
    ],
    "beartype.beartype",
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skip where there is no C++ compiler; fail where it fails."""
    from trimtab.errors import SettingsError  # Behind the hook, and only where it is asked for.
    from trimtab.native.compiler import library

    try:
        library()
    except SettingsError as error:
        if "no C++ compiler" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)
