"""What training says on the terminal."""

import pytest

from trimtab.training.progress import Terminal


@pytest.mark.parametrize(("columns", "most"), [("40", 40), ("0", 80)])
def test_lines_are_as_wide_as_the_terminal_and_words_stay_whole(
    columns: str,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    folder = "/a/path/" + 12 * "of-some-length/"
    Terminal().note(f"{20 * 'words of a line '} {folder}")
    *lines, last = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= most
    assert last == folder
