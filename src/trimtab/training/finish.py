"""What targets learn of the training rows once the network is trained."""

import numpy as np
import torch

from trimtab.data.columns import Columns
from trimtab.model import RankingModel

ROWS = 200_000
"""Most rows that are looked at."""


def finish(model: RankingModel, rows: Columns, seed: int) -> None:
    """Let every target learn what needs the trained model, from rows drawn by the seed."""
    sample = np.sort(np.random.default_rng(seed).permutation(len(rows))[:ROWS])
    model.eval()
    with torch.no_grad():
        batch = rows.batch(sample).to(model.present.device)
        model.finish(batch, model(batch))
