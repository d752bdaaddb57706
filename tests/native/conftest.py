"""These tests need a C++ compiler."""

import pytest

from trimtab.errors import SettingsError
from trimtab.native import adam
from trimtab.native.compiler import compiled


@pytest.fixture(autouse=True, scope="session")
def compiler() -> None:
    try:
        compiled(adam.SOURCE)
    except SettingsError as error:
        pytest.skip(str(error))
