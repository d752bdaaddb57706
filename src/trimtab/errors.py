"""What can go wrong, and whose doing it is.

TrimtabError
├── InputError        the user's input is wrong: the command line exits with 2
│   ├── SettingsError     the run file, or a setting given to a function
│   └── DataError         a log, a side table or a frame
│       └── RowError          a row of it
└── RunError          the run could not go on: the command line exits with 1

TrimtabWarning
├── LeftOutWarning    a part of what was asked for has no answer, and why
├── SeenWarning       rows to measure on, or to train on, were trained on before
├── SlowerWarning     something is missing that would have been faster; the result is the same
└── UnseenWarning     nearly all ids to predict for are new: are they spelled as in training?
"""

from collections.abc import Iterable
from difflib import get_close_matches


class TrimtabError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1


class InputError(TrimtabError):
    """The user's input is wrong; the message says where, what was found and what was expected."""

    exit_code = 2


class SettingsError(InputError):
    """A run file or a setting is wrong; one line a problem, all problems at once."""


class DataError(InputError):
    """A log, a side table or a frame does not hold what the settings say."""


class RowError(DataError):
    """A row of a log holds what it cannot.

    Parameters
    ----------
    message
        With ``{row}`` where the number of the row belongs.
    """

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message.replace("{row}", f"{row:,}"))
        self.message, self.row = message, row

    def within(self, first: int, rows: int) -> "RowError":
        """Return the same of a row of a chunk, the log's rows from ``first`` on."""
        where = f" Counted in rows {first:,} to {first + rows - 1:,}, a chunk of the log."
        return RowError(self.message + where, first + self.row)


class RunError(TrimtabError):
    """Training or writing could not go on; what was saved before is intact."""


class TrimtabWarning(UserWarning):
    """Base of every warning of this package; the command line spells it as it does errors."""


class LeftOutWarning(TrimtabWarning):
    """A part of what was asked for has no answer; the message says why."""


class SeenWarning(TrimtabWarning):
    """Rows were trained on before; what is measured on them looks better than it is."""


class SlowerWarning(TrimtabWarning):
    """A faster way could not be taken; what comes out is the same, to rounding."""


class UnseenWarning(TrimtabWarning):
    """Nearly all of a feature's ids are ones that training never saw; predictions are average."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a name that is not known: the nearest one, else all of them."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"Known: {shown}." if known else "There are none."
