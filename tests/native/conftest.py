"""These tests need a C++ compiler."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def needed(compiler: None) -> None:
    """Skip where there is none."""
