"""The likeliest departure of predictions along a few directions, on their scale."""

import numpy as np

from trimtab.calibration.scale import Floats, Rows, Scale

_STEPS = 200
_DONE = 1e-6
"""Longest last step: what is left after it is about its square."""


def depart(
    place: Floats,
    label: Rows,
    scale: Scale,
    *,
    directions: Floats,
    penalty: Floats,
    apart: float = 0.0,
) -> Floats:
    """Return how far to go along each direction, by Newton's steps in float64.

    Maximises ``sum_i [y_i e_i - A(e_i)] + apart t_last - unit sum_k penalty_k t_k^2 / 2`` over t,
    with ``e = place + t @ directions`` and ``A' = scale.back``: the log-likelihood of labels 0 and
    1, the Poisson quasi-likelihood of quantities (Wedderburn, Biometrika 1974). It is concave. No
    row moves by more than 1 in a step, and within 1 the curvature changes by e at most: then each
    step gains, from any start.

    Parameters
    ----------
    place
        Predictions of the rows, on the scale.
    directions
        ``[directions, rows]``; the last is 1 everywhere, so that sums come out right.
    penalty
        Of each direction, in rows with a label of common size, ``unit = sum y^2 / sum y`` (1 for
        labels 0 and 1), so that a label's unit does not matter.
    apart
        Sum of the labels of rows that have no place on the scale.
    """
    label = label.astype(np.float64)
    penalty = penalty * (label @ label) / label.sum()
    gone = np.zeros(len(directions))
    rest = np.zeros(len(directions))
    rest[-1] = apart
    for _ in range(_STEPS):
        mean = scale.back(place + gone @ directions)
        uphill = directions @ (label - mean) + rest - penalty * gone
        bend = (directions * scale.slope(mean)) @ directions.T + np.diag(penalty)
        step = np.linalg.lstsq(bend, uphill, rcond=None)[0]
        longest = np.abs(step @ directions).max()
        gone += step / max(longest, 1.0)
        if longest < _DONE:
            break
    return gone
