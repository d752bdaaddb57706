"""Weights as they are written on a command line, such as ``click=1,play/min=0.5,cover.like=0``."""

import math
from collections.abc import Mapping

from trimtab.errors import InputError
from trimtab.steering.formulas.additive import Additive
from trimtab.steering.formulas.base import parse


def parse_weights(text: str, units: Mapping[str, str], scenes: tuple[str, ...]) -> Additive:
    """Return the additive formula that a list of weights stands for.

    ``TARGET=WEIGHT``, ``TARGET/UNIT=WEIGHT`` for a duration, ``SCENE.TARGET=WEIGHT`` for one scene.

    Raises
    ------
    InputError
        With every problem: an unknown target, a weight that is no number, one given twice, none
        that is not 0.
    """
    weights: dict[str, dict[str, float | str]] = {}
    inside: dict[str, dict[str, dict[str, float | str]]] = {}
    problems = []
    for part in text.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        scene, _, name = key.rpartition(".")
        name, _, unit = name.partition("/")
        where = inside.setdefault(scene, {}) if scene else weights
        number = _number(value)
        if not name or number is None:
            problems.append(f"--weights: {part.strip()!r}; expected TARGET=NUMBER, such as like=5")
        elif name in where:
            problems.append(f"--weights: {key!r} is given twice")
        else:
            where[name] = {"weight": number, **({"per": unit} if unit else {})}
    if problems:
        raise InputError("\n".join(problems))
    if not weights:  # Scenes alone: elsewhere nothing counts.
        weights = {name: {"weight": 0.0} for given in inside.values() for name in given}
    formula = parse({"kind": "additive", "weights": weights, "scenes": inside}, "--weights")
    formula.require(units, scenes)
    return Additive.model_validate(formula.model_dump())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
