"""From what was measured to what to try next: a table of rules, each with its sentence."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from trimtab.balancing import FixedSettings
from trimtab.evaluation.diagnostics import TABLES, TOWERS, TRUNK
from trimtab.evaluation.measures import MEASURES
from trimtab.features.encoder import SHARED

Found = Mapping[str, Any]

RARE = 0.2
"""A target that tells on less than this share of the most frequent one's positives is rare."""
CLEAR = 0.02
"""Cosines nearer to 0 than this are not worth a word, however sure."""
WEAK = 0.2
"""A target that pulls less than this share of what the others do is drowned out."""
IDLE, NARROW = 0.5, 0.25
"""Shares of dead units, and of a table's width in use, that are worth a word."""

QUANTITY = MEASURES["quantity"].ranking
"""The metric of quantities, whose labels may well be below 0."""
FIXED = FixedSettings().kind
"""The balancing under which targets pull by the weights of the run file."""

FAIR = "smallest_loss"
"""The rule for choosing a checkpoint that looks at the target that loses most."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One target that is worse together than alone, and what is known of it.

    Attributes
    ----------
    against
        Part of the model to the target whose gradient points most against this one's, and their
        cosine; only where that is surely below 0.
    pull
        Its weight times the length of its gradient in the tables, over the others' mean; infinite
        where that is not known, or a balancer sets the weights.
    peak, lost
        Its metric's own best evaluation minus the one served, and what it lost by sharing.
    """

    name: str
    settings: Found
    why: Found
    rare: bool
    against: Mapping[str, tuple[str, float]]
    pull: float
    peak: float
    lost: float

    @property
    def own_width(self) -> int:
        """Width of the embeddings of its own."""
        return int(self.settings["embedding"]["own_width"])

    @property
    def wider(self) -> str:
        """The setting that gives targets more of their own."""
        return f"[embedding] own_width = {2 * self.own_width or 4}"

    @property
    def task(self) -> str | None:
        """The task that it is said to have."""
        told: str | None = self.settings["targets"][self.name].get("task")
        return told

    @property
    def in_trunk(self) -> tuple[str, float] | None:
        """What points most against it in the trunk."""
        inside = [found for part, found in self.against.items() if part.startswith(TRUNK)]
        return min(inside, key=lambda found: found[1], default=None)

    @property
    def weight(self) -> str:
        """A weight with which it would pull as much as the others, but at most ten times as now."""
        wanted = self.settings["targets"][self.name]["weight"] * min(1 / self.pull, 10.0)
        return f"{float(f'{wanted:.1g}'):g}"


class Rule(NamedTuple):
    """When to say something, why, and what to try."""

    holds: Callable[[Case], bool]
    because: Callable[[Case], str]
    setting: Callable[[Case], str]


def _points_against(part: str, found: tuple[str, float]) -> str:
    return f"in the {part} its gradient points against that of {found[0]} (cosine {found[1]:+.2f})"


RULES = (
    Rule(
        lambda case: case.rare and TABLES in case.against,
        lambda case: f"it is rare, and {_points_against('shared tables', case.against[TABLES])}",
        lambda case: case.wider,
    ),
    Rule(
        lambda case: 2 * case.peak >= case.lost > 0 and case.settings["training"]["choose"] != FAIR,
        lambda case: f"another evaluation than the one served was {case.peak:.4f} better for it",
        lambda case: f'[training] choose = "{FAIR}"',
    ),
    Rule(
        lambda case: case.pull < WEAK,
        lambda case: f"it pulls on the shared tables with {case.pull:.0%} of the others' strength",
        lambda case: f"targets.{case.name}.weight = {case.weight}",
    ),
    Rule(
        lambda case: case.in_trunk is not None and case.settings["trunk"]["kind"] != "ple",
        lambda case: _points_against("trunk", case.in_trunk or ("", 0.0)),
        lambda case: '[trunk] kind = "ple"',
    ),
    Rule(
        lambda case: TOWERS in case.against and case.task != case.name,
        lambda case: _points_against("towers", case.against[TOWERS]),
        lambda case: f'targets.{case.name}.task = "{case.name}"',
    ),
    Rule(
        lambda case: _most(case.why["experts"].get("experts")) > IDLE and _rectified(case),
        lambda case: "some experts are dead: most of their units are 0 on nearly all rows",
        lambda case: '[trunk] activation = "silu"',
    ),
    Rule(
        lambda case: _collapsed(case) and case.rare,
        lambda case: "the shared tables use few of their dimensions, and it is rare",
        lambda case: case.wider,
    ),
    Rule(
        lambda case: True,
        lambda case: "nothing measured here stands against it, so there may be too little room",
        lambda case: "[trunk] widths, or [embedding] width: twice as wide",
    ),
)
"""In order of preference; the last one holds always."""

KNOWS_SCENES = '[trunk] kind = "pepnet"'
"""A trunk whose gates read the scene."""

MOST = 2
"""Most rules that are told of one target."""


def advise(found: Found, settings: Found) -> list[dict[str, Any]]:
    """Return what to try next, best first: ``target``, ``because`` and ``setting`` of each.

    Parameters
    ----------
    found
        What ``compare_rivals`` returned, with ``why``.
    settings
        The run's settings, as JSON.
    """
    told: list[dict[str, Any]] = []
    for name, target in found["targets"].items():
        if target["direction"] >= 0:
            continue
        case = _case(name, found, settings)
        said: dict[str, str] = {}
        for rule in RULES:
            if len(said) < MOST and rule.holds(case) and not (rule is RULES[-1] and said):
                said.setdefault(rule.setting(case), rule.because(case))
        told += [{"target": name, "because": b, "setting": s} for s, b in said.items()]
    return [*told, *_in_scenes(found, settings)]


def _in_scenes(found: Found, settings: Found) -> Iterator[dict[str, Any]]:
    """Yield what helps targets that pay in one scene, where all rows together do not show it."""
    staged = bool((settings.get("scenes") or {}).get("stages"))  # Then gates see the first alone.
    weigh = staged or settings["trunk"]["kind"] == "pepnet"
    weights = (settings.get("scenes") or {}).get("weights") or {}
    for scene, inside in found["scenes"].items():
        now = weights.get(scene, 1)
        for name, target in inside["targets"].items():
            if target["direction"] < 0 <= found["targets"][name]["direction"]:
                yield {
                    "target": name,
                    "because": f"in scene {scene} ({inside['rows']:,} rows) sharing costs it "
                    f"{-target['difference']:.4f}, which all rows together hide",
                    "setting": f"scenes.weights.{scene} = {2 * now:g}" if weigh else KNOWS_SCENES,
                }


def _case(name: str, found: Found, settings: Found) -> Case:
    targets, why = found["targets"], found["why"]
    most = max(one["positives"] for one in targets.values())
    return Case(
        name=name,
        settings=settings,
        why=why,
        rare=_support(name, targets, settings["targets"]) < RARE * most,
        against=dict(_against(name, why["gradients"])),
        pull=_pull(name, why["gradients"], settings),
        peak=why["peaks"].get(name, 0.0),
        lost=-targets[name]["difference"],
    )


def _support(name: str, targets: Found, settings: Found) -> int:
    """Count the rows that tell of a target: its positives; of a quantity those where it is seen."""
    target, step = targets[name], targets.get(settings[name].get("given"))
    seen = target["rows"] if step is None else step["positives"]
    return int(seen if target["metric"] == QUANTITY else target["positives"])


def _against(name: str, gradients: Found) -> Iterator[tuple[str, tuple[str, float]]]:
    """Yield each part in which another target's gradient surely points against this one's."""
    for part, angles in gradients.items():
        cosines, errors = angles["cosine"][name], angles["error"][name]
        sure = {
            other: cosine
            for other, cosine in cosines.items()
            if None not in (cosine, errors[other]) and cosine < -max(CLEAR, 2 * errors[other])
        }
        if sure:
            worst = min(sure, key=sure.__getitem__)
            yield part, (worst, sure[worst])


def _pull(name: str, gradients: Found, settings: Found) -> float:
    """Return a target's pull over the others' mean; what a balancer makes of it is not known."""
    if settings["balancing"]["kind"] != FIXED:
        return math.inf
    norms, targets = gradients.get(TABLES, {}).get("norm", {}), settings["targets"]
    pulls = {other: targets[other]["weight"] * (norm or 0.0) for other, norm in norms.items()}
    others = [pull for other, pull in pulls.items() if other != name]
    mean = sum(others) / max(len(others), 1)
    return pulls[name] / mean if mean > 0 and pulls[name] > 0 else math.inf


def _most(shares: Found | None) -> float:
    """Return the largest number of a table of tables; 0 where there is none."""
    return max(
        (share for inside in (shares or {}).values() for share in inside.values()), default=0
    )


def _rectified(case: Case) -> bool:
    return bool(case.settings["trunk"].get("activation") == "relu")


def _collapsed(case: Case) -> bool:
    """Say whether some table uses little of its width; small ones are not among them."""
    width = case.settings["embedding"]["width"]
    found = [blocks[SHARED] for blocks in case.why["abundance"].values() if blocks.get(SHARED)]
    return bool(found) and min(found) < NARROW * width
