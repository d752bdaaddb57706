from trimtab.cli import _spelled
from trimtab.errors import SlowerWarning


def test_only_our_own_warnings_are_spelled_as_errors_are() -> None:
    assert _spelled("no compiler", SlowerWarning, "auto.py", 7) == "trimtab: no compiler\n"
    assert _spelled("old", FutureWarning, "a.py", 7, "x = 1") == (
        "a.py:7: FutureWarning: old\n  x = 1\n"
    )
