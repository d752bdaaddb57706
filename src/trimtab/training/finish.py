"""What targets learn of the training rows once the network is trained."""

from dataclasses import replace

import numpy as np
import torch

from trimtab.data.columns import Columns
from trimtab.model import RankingModel

ROWS = 200_000
"""Most rows that are looked at."""
BATCH = 4096
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
        known = {**rows.arrays, "ids": rows.arrays["ids"][:, :0]}  # Targets read no ids.
        columns = Columns(names=replace(rows.names, ids=(), lists=()), arrays=known)
        model.finish(columns.batch(sample).to(device), logits)
