"""What another order would have earned, from a log whose exposure was random or is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import InputError
from trimtab.evaluation.intervals import UserBootstrap
from trimtab.evaluation.metrics import ratio
from trimtab.steering.candidates import Codes, Floats


@dataclass(frozen=True, kw_only=True)
class OffPolicy:
    """An estimate of what a policy earns a choice.

    Attributes
    ----------
    logged
        What the log itself earned: the plain mean of the rewards.
    effective_rows
        ``(sum w)^2 / sum w^2`` (Kish): as many rows, all of one weight, would say as much. Below
        some hundred the estimate rests on few rows.
    mean_weight
        Mean of ``w``; far from 1 where each row was one choice, the propensities are wrong.
    """

    value: float
    interval: tuple[float, float]
    logged: float
    rows: int
    effective_rows: float
    mean_weight: float


def softmax_within(score: Floats, group: Codes, temperature: float = 0.0) -> Floats:
    """Return the chance that each row is chosen from its list: ``softmax(score / temperature)``.

    At 0 the highest score is chosen, equal ones as often as each other.
    """
    if not temperature >= 0 or np.isinf(temperature):
        raise InputError(f"temperature: found {temperature:g}; expected a number of 0 or more.")
    _, codes = np.unique(group, return_inverse=True)
    highest = np.full(codes.max(initial=-1) + 1, -np.inf)
    np.maximum.at(highest, codes, score)
    below = score - highest[codes]
    worth = np.exp(below / temperature) if temperature > 0 else (below == 0).astype(np.float64)
    return np.asarray(worth / np.bincount(codes, weights=worth)[codes])


def snips(
    reward: Floats, chance: Floats, propensity: Floats | float, users: NDArray[np.generic]
) -> OffPolicy:
    """Estimate a policy's reward a choice: ``sum_i w_i r_i / sum_i w_i``.

    With ``w_i = chance_i / propensity_i``: self-normalised inverse propensity scoring (Swaminathan
    & Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NeurIPS 2015). It
    holds where

    - each row is one choice that the log made, from a list whose rows ``chance`` sums to 1 over;
    - the propensity is the chance that the log had of that choice, and nothing else that bears on
      the reward decided it: no position, no row beside it;
    - whatever the policy may choose the log could have chosen as well.

    Rows that were not shown have a reward of NaN; they count in ``chance`` and nowhere else. With
    random exposure of all that stands in a list the propensity is any constant.

    Parameters
    ----------
    reward
        What the choice earned; NaN where it was not made, or its outcome is not known.
    chance
        The policy's chance of each row, such as ``softmax_within`` gives.
    propensity
        The log's chance of each row, above 0.
    users
        Who is drawn in the resamples of the interval.

    Raises
    ------
    InputError
        When a shown row's propensity is not above 0, and at most 1.
    """
    shown = ~np.isnan(reward)
    propensity = np.broadcast_to(np.asarray(propensity, dtype=np.float64), reward.shape)
    wrong = shown & ~((propensity > 0) & (propensity <= 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"propensity: found {propensity[row]:g} in row {row:,} ({int(wrong.sum()):,} such "
            "rows); expected the chance that the log had of showing it, above 0 and at most 1."
        )
    weight = np.where(shown, chance / np.where(shown, propensity, 1), 0.0)
    bootstrap, total = UserBootstrap(users), weight.sum()
    draws = bootstrap.mean(reward, reward, weight)
    return OffPolicy(
        value=float(ratio(weight @ np.nan_to_num(reward), total)),
        interval=bootstrap.interval(draws),
        logged=float(reward[shown].mean()) if shown.any() else float("nan"),
        rows=int(shown.sum()),
        effective_rows=float(ratio(total**2, weight @ weight)),
        mean_weight=float(ratio(total, shown.sum())),
    )
