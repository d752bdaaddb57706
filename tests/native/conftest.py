"""These tests need a C++ compiler."""

import pytest

from trimtab.errors import SettingsError
from trimtab.native.compiler import library


@pytest.fixture(autouse=True, scope="session")
def compiler() -> None:
    try:
        library()
    except SettingsError as error:
        if "no C++ compiler" not in str(error):
            raise
        pytest.skip(str(error))
