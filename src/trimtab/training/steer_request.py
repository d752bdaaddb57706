"""``trimtab steer``: what may be asked for, and the answer as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trimtab.errors import InputError
from trimtab.steering.candidates import Candidates
from trimtab.steering.effect import effect
from trimtab.steering.formulas import Formula
from trimtab.steering.page import write
from trimtab.steering.profiles import Profiles
from trimtab.steering.question import solve
from trimtab.steering.search import front
from trimtab.steering.yardsticks import places_of
from trimtab.training.folder import PAGE
from trimtab.training.steer import Steering

if TYPE_CHECKING:
    from trimtab.training.run import Run

Bound = float | Literal["now"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What ``trimtab steer`` is asked for: a formula's effect, a front, or the best of a target."""

    weights: str | None = None
    formula: Path | None = None
    profile: str | None = None
    against: str | None = None
    search: str | None = None
    maximise: str | None = None
    keep: str | None = None
    save: str | None = None
    data: Path | None = None
    metric: str = "utility"
    k: int = 10
    trials: int = 3000
    page: bool = False

    def check(self) -> None:
        """Raise ``InputError`` where options do not go together, or no metric has the name."""
        ways = ("weights", "formula", "profile", "search", "maximise")
        given = [f"--{name}" for name in ways if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} do not go together; give one of them.")
        if self.keep is not None and self.maximise is None:
            raise InputError("--keep needs --maximise, the target to have the most of.")
        places_of(self.measured_by)

    def refuse_all(self) -> None:
        """Raise ``InputError`` where more is asked for: a verification is of the run itself."""
        options = ("weights", "formula", "profile", "against", "search", "maximise", "keep", "save")
        given = [f"--{n}" for n in (*options, "data", "page") if getattr(self, n)]
        if given:
            raise InputError(f"--verify is of the run itself; leave out {' and '.join(given)}.")
        self.check()

    def targets(self) -> list[str]:
        """Return the targets of the front that is asked for."""
        return [name.strip() for name in (self.search or "").split(",")]

    def bounds(self) -> dict[str, Bound]:
        """Return target to its bound, of ``like=now,click=0.7``."""
        found: dict[str, Bound] = {}
        for part in [] if self.keep is None else self.keep.split(","):
            name, _, bound = (piece.strip() for piece in part.partition("="))
            value = _bound(bound)
            if not name or value is None:
                raise InputError(
                    f"--keep: {part.strip()!r}; expected TARGET=now or TARGET=NUMBER, such as "
                    "like=0.8"
                )
            if name in found:
                raise InputError(f"--keep: {name!r} is given twice")
            found[name] = value
        return found

    @property
    def measured_by(self) -> str:
        """The metric of a search, with its number of places."""
        return f"ndcg@{self.k}" if self.metric == "ndcg" else self.metric


def _bound(text: str) -> Bound | None:
    try:
        return "now" if text == "now" else float(text)
    except ValueError:
        return None


def steer(run: "Run", request: Request) -> dict[str, Any]:
    """Answer ``trimtab steer``.

    Returns
    -------
    dict
        An effect, as ``trimtab.steering.effect`` returns it, with ``answer`` for a question; or a
        front. ``saved`` names the profile that was saved and is current now; None without one.

    Raises
    ------
    InputError
        When options, weights, formulas, names or rows are wrong; nothing is saved then.
    """
    request.check()
    steering, profiles = Steering(run), Profiles.load(run.folder)
    formula = _given(steering, request)
    rows = steering.candidates(None if request.data is None else str(request.data))
    current = steering.profile(request.against, rows)
    if request.save is not None:
        profiles.with_profile(request.save, current)  # Refuses a bad name before a long search.
    if request.search is not None:
        found, formula = _front(rows, current, request)
    elif request.maximise is not None:
        found, formula = _answer(rows, current, request)
    else:
        formula = formula or current
        against = current if request.against or formula != current else None
        found = effect(rows, formula, against, k=request.k)
    found |= {"against_profile": request.against or profiles.current, "saved": None, "page": None}
    if request.save is not None and formula is not None:
        profiles, found["saved"] = profiles.with_profile(request.save, formula), request.save
    if request.page:
        path, title = run.folder / PAGE, str(run.folder)
        write(rows, path, title=title, formula=current, start=formula, profiles=profiles.named)
        found["page"] = str(path)
    if found["saved"]:  # Last: where the page refuses the formula, it is not current either.
        profiles.save(run.folder)
    return found


def _given(steering: Steering, request: Request) -> Formula | None:
    """Return the formula that the request names; None where it is to be found."""
    if request.weights is not None:
        return steering.weights(request.weights)
    if request.formula is not None:
        return steering.formula(_read(request.formula), str(request.formula))
    return None if request.profile is None else steering.profile(request.profile)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON; expected a formula.") from None


def _front(
    rows: Candidates, current: Formula, request: Request
) -> tuple[dict[str, Any], Formula | None]:
    """Return the front and its knee."""
    found = front(
        rows,
        request.targets(),
        current=current,
        metric=request.measured_by,
        trials=request.trials,
    )
    return found.as_dict(), found.formula(found.knee)


def _answer(
    rows: Candidates, current: Formula, request: Request
) -> tuple[dict[str, Any], Formula | None]:
    """Return the answer with its effect; no formula to save where a bound is not met."""
    found = solve(
        rows,
        current,
        maximise=request.maximise or "",
        keep=request.bounds(),
        metric=request.measured_by,
        trials=request.trials,
    )
    shown = effect(rows, found.formula, current, k=request.k)
    return {"answer": found.as_dict(), **shown}, found.formula if found.met else None
