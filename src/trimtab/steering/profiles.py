"""Named fusion formulas, kept in a run's folder as JSON: one of them is current."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trimtab import atomic
from trimtab.errors import InputError, RunError, nearest
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Additive, Formula
from trimtab.steering.formulas.additive import Weight
from trimtab.steering.formulas.base import parse

FILE = "profiles.json"
DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """The profiles of a run; ``current`` is served.

    Attributes
    ----------
    named
        Profile to its formula.
    """

    current: str = DEFAULT
    named: Mapping[str, Formula] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Profiles":
        """Read the profiles of a run's folder; none are there before the first is saved.

        Raises
        ------
        RunError
            When the file is damaged.
        """
        path = folder / FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            named = {
                name: parse(formula, f"{path}: {name}")
                for name, formula in found["profiles"].items()
            }
            return cls(current=found["current"], named=named)
        except FileNotFoundError:
            return cls()
        except InputError:
            raise
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: not a file of profiles, or cut short: {error}.") from None

    def save(self, folder: Path) -> None:
        """Write beside, then rename."""
        content = {
            "current": self.current,
            "profiles": {name: formula.model_dump() for name, formula in self.named.items()},
        }
        atomic.write(folder / FILE, json.dumps(content, indent=1) + "\n")

    def with_profile(self, name: str, formula: Formula) -> "Profiles":
        """Return the profiles with one more, or another in its place, as the current one."""
        if not _NAME.fullmatch(name):
            raise InputError(f"profile {name!r}: expected letters, digits, _ and -.")
        if name == DEFAULT:
            raise InputError(
                f"profile {name!r}: is built in, every target counting about alike; choose "
                "another name."
            )
        return replace(self, current=name, named={**self.named, name: formula})

    def with_current(self, name: str) -> "Profiles":
        """Return the profiles with another one current."""
        self[name]
        return replace(self, current=name)

    def __getitem__(self, name: str) -> Formula:
        """Return a profile's formula; ``InputError`` with the nearest name where there is none."""
        if name not in self.named:
            raise InputError(f"no profile named {name!r}. {nearest(name, self.named)}")
        return self.named[name]


def even(candidates: Candidates) -> Additive:
    """Return the additive formula to begin with: ``w_k = 1 / mean prediction`` of target k.

    Each target then adds about as much to the average score; a target that is not wanted needs a
    weight below 0 from someone who knows.
    """
    means = {
        name: float(np.nanmean(candidates.predictions[name]))
        for name in candidates.units
        if np.isfinite(candidates.predictions[name]).any()
    }
    weights = {name: 1 / mean for name, mean in means.items() if mean > 0}
    rounded = {name: Weight(weight=float(f"{weight:.3g}")) for name, weight in weights.items()}
    return Additive(weights=rounded)
