"""Typical values to medians: of rows like these, half of the labels lie below."""

import numpy as np

from trimtab.calibration.base import Map
from trimtab.calibration.isotonic import Isotonic
from trimtab.calibration.none import Identity
from trimtab.calibration.scale import Floats, Rows, Scale

ROWS, STEPS = 100, 200
"""Rows that the median of a step is of, at least, and most steps."""


def to_medians(prediction: Rows, label: Rows, scale: Scale) -> Map:
    """Return rising lines through the medians of steps of rows, on the scale.

    Neighbouring steps whose medians do not rise, or are 0, are one. No rising steps of these rows
    have a smaller mean absolute error (Robertson and Waltman, Annals of Mathematical Statistics
    1968, for a median in place of a mean); lines in their place keep the order of the rows.
    Where most labels are 0 the median of all is, and predictions stay as they are; so they do where
    fewer than ``ROWS`` labels are above 0.
    """
    held = scale.holds(prediction)
    if scale.support(label[held]) < ROWS:
        return Identity()
    # Places that differ by no more than rounding are one.
    place = scale.forward(prediction[held]).astype(np.float32).astype(np.float64)
    order = np.argsort(place, kind="stable")
    place, label = place[order], label[held][order]
    steps: list[tuple[int, int, float]] = []
    for step in _cut(place):
        steps.append(_median(label, *step))
        while len(steps) > 1 and not 0 < steps[-2][2] < steps[-1][2]:
            steps[-2:] = [_median(label, steps[-2][0], steps[-1][1])]
    if steps[-1][2] <= 0:
        return Identity()
    at = [place[first:last].mean() for first, last, _ in steps]
    return Isotonic(scale, at, scale.forward(np.array([median for _, _, median in steps])))


def _cut(place: Floats) -> list[tuple[int, int]]:
    """Cut rows that rise into steps of about as many; equal ones are in the same step."""
    count = min(max(len(place) // ROWS, 1), STEPS)
    wanted = np.linspace(0, len(place), count + 1).astype(int)[1:-1]
    ends = np.unique(np.searchsorted(place, place[wanted], side="left"))
    cuts = [0, *(int(end) for end in ends if end), len(place)]
    return [(first, last) for first, last in zip(cuts, cuts[1:], strict=False) if last > first]


def _median(label: Rows, first: int, last: int) -> tuple[int, int, float]:
    return first, last, float(np.median(label[first:last]))
