"""Steps of a funnel (impression, click, purchase) as log-probabilities built from logits."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def reached_and_missed(
    steps: Sequence[Float[Tensor, " rows"]],
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Return ``log P(last step reached)`` and ``log P(not reached)``, over all rows.

    ``P(b) = P(a) P(b | a)``: a rare step is learnt on every impression, not only on the rows that
    reached the step before it. Both logarithms are built step by step from the log-odds of each
    step given the one before; multiplying sigmoids and taking ``log(1 - p)`` would round to
    ``log(0)`` on confident rows, and clamping that would keep the loss finite but zero its
    gradient.

    Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, eq. 1 and 4.
    """
    first, *later = steps
    reached, missed = logsigmoid(first), logsigmoid(-first)
    for log_odds in later:
        missed = torch.logaddexp(missed, reached + logsigmoid(-log_odds))
        reached = reached + logsigmoid(log_odds)
    return reached, missed


def inverse_propensity(
    steps: Sequence[Float[Tensor, " rows"]], floor: float
) -> Float[Tensor, " rows"]:
    """Return ``1 / P(last step reached)``, as a constant; probabilities count as ``floor`` or more.

    The weight that makes rows which reached a step stand for all rows. A gradient into it would
    teach the steps to be likely where what follows is hard to predict.
    """
    reached = reached_and_missed(steps)[0].detach()
    return 1 / reached.exp().clamp(min=floor)
