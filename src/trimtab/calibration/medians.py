"""Typical values to medians: of rows like these, half of the labels lie below."""

import numpy as np

from trimtab.calibration.isotonic import Isotonic
from trimtab.calibration.scale import Floats, Rows, Scale

ROWS, STEPS = 100, 200
"""Rows that the median of a step is of, at least (but where there are fewer), and most steps."""
NEARLY = 0.01
"""What stands for a median of 0, of the lowest one above it."""


def to_medians(prediction: Rows, label: Rows, scale: Scale) -> Isotonic:
    """Return rising lines through the medians of steps of rows, on the scale.

    Neighbouring steps whose medians do not rise are one. No rising steps of these rows have a
    smaller mean absolute error (Robertson and Waltman, Annals of Mathematical Statistics 1968, for
    a median in place of a mean); lines in their place keep the order of the rows. For the same
    reason rows whose median is 0 are moved to nearly 0, the lowest the nearest.
    """
    held = scale.holds(prediction)
    if not scale.support(label[held]):
        return Isotonic(scale, [0.0], [0.0])
    # Places that differ by no more than rounding are one.
    place = scale.forward(prediction[held]).astype(np.float32).astype(np.float64)
    order = np.argsort(place, kind="stable")
    place, label = place[order], label[held][order]
    steps: list[tuple[int, int, float]] = []
    for first, last in _cut(place):
        steps.append((first, last, float(np.median(label[first:last]))))
        while len(steps) > 1 and steps[-2][2] >= steps[-1][2]:
            (first, _, low), (_, last, high) = steps[-2:]
            median = low if low == high else float(np.median(label[first:last]))
            steps[-2:] = [(first, last, median)]
    medians = np.array([median for _, _, median in steps])
    nearly = NEARLY * (medians[medians > 0] if medians.any() else label[label > 0]).min()
    at = [place[first:last].mean() for first, last, _ in steps]
    if not medians[0]:  # Only one step is: to its very end, and the next from its start.
        at[:2] = [
            place[last - 1] if not median else place[first] for first, last, median in steps[:2]
        ]
    return Isotonic(scale, at, scale.forward(np.maximum(medians, nearly)))


def _cut(place: Floats) -> list[tuple[int, int]]:
    """Cut rows that rise into steps; equal ones are in the same step."""
    size = max(ROWS, -(-len(place) // STEPS))
    cuts = [0]
    while cuts[-1] + 2 * size <= len(place):
        wanted = place[cuts[-1] + size - 1]
        cuts.append(int(np.searchsorted(place, wanted, side="right")))
    if len(place) - cuts[-1] < size and len(cuts) > 1:
        cuts.pop()
    return list(zip(cuts, [*cuts[1:], len(place)], strict=True))
