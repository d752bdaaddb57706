"""What targets learn of the training rows once the network is trained."""

import numpy as np
import torch

from trimtab.data.columns import Columns
from trimtab.model import RankingModel

ROWS = 200_000
"""Most rows that are looked at."""
BATCH = 16_384
"""Rows that go through the network at once."""


def finish(model: RankingModel, rows: Columns, seed: int) -> None:
    """Let every target learn what needs the trained model, from rows drawn by the seed."""
    sample = np.sort(np.random.default_rng(seed).permutation(len(rows))[:ROWS])
    model.eval()
    device = model.present.device
    with torch.no_grad():
        parts = [
            model(rows.batch(sample[start : start + BATCH]).to(device))
            for start in range(0, len(sample), BATCH)
        ]
        logits = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        model.finish(rows.batch(sample).to(device), logits)
