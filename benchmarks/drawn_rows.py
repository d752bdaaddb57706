"""The rows that systems are timed on: ids of mixed vocabularies, numbers, and labels of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL_VOCABULARIES = (10, 10, 100, 100, 1_000, 1_000)
LARGE_SHARES = (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64)
NUMBERS = 4
TARGETS = 5
ZIPF_EXPONENT = 1.2
ZIPF_ABOVE = 1_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is trained, and on how many rows a round.

    Attributes
    ----------
    rows, peer_rows
        Most rows that Trimtab and a peer train on; the peers, being slower, on fewer.
    variant
        Environment variables that only Trimtab's worker gets.
    """

    table_rows: int
    batch_rows: int
    rows: int
    peer_rows: int
    rounds: int
    threads: int
    seed: int
    model: str = "shared_bottom"
    peers: tuple[str, ...] = ()
    best_batch: bool = False
    variant: dict[str, str] = field(default_factory=dict)


def draw_rows(settings: Settings) -> dict[str, NDArray[Any]]:
    """Rows whose labels depend on every id and number, so that there is something to learn."""
    random = np.random.default_rng(settings.seed)
    rows = max(settings.rows, settings.peer_rows)
    vocabularies = share_out(settings.table_rows)

    ids = np.empty((rows, len(vocabularies)), np.int32)
    affinity = np.zeros(rows, np.float32)
    for feature, vocabulary in enumerate(vocabularies):
        ids[:, feature] = draw_ids(random, rows, vocabulary)
        effect = random.normal(scale=len(vocabularies) ** -0.5, size=vocabulary)
        affinity += effect.astype(np.float32)[ids[:, feature]]

    numbers = random.standard_normal((rows, NUMBERS), np.float32)
    slopes = random.standard_normal((NUMBERS, TARGETS), np.float32) / NUMBERS
    logits = affinity[:, None] + numbers @ slopes - np.linspace(0, 3, TARGETS, dtype=np.float32)
    labels = random.random((rows, TARGETS), np.float32) < 1 / (1 + np.exp(-logits))
    return {
        "ids": ids,
        "numbers": numbers,
        "labels": labels.astype(np.float32),
        "vocabularies": np.array(vocabularies, np.int64),
    }


def share_out(table_rows: int) -> list[int]:
    """Vocabularies of mixed size that sum to ``table_rows``."""
    left = table_rows - sum(SMALL_VOCABULARIES)
    large = [left * share // sum(LARGE_SHARES) for share in LARGE_SHARES]
    large[-1] += left - sum(large)
    return [*SMALL_VOCABULARIES, *large]


def draw_ids(random: np.random.Generator, rows: int, vocabulary: int) -> NDArray[np.int64]:
    if vocabulary <= ZIPF_ABOVE:
        return random.integers(vocabulary, size=rows)
    mass = np.cumsum(np.arange(1, vocabulary + 1, dtype=np.float64) ** -ZIPF_EXPONENT)
    ranks = np.searchsorted(mass, random.random(rows) * mass[-1])
    shuffled = random.permutation(vocabulary)  # frequent ids do not lie side by side
    ids: NDArray[np.int64] = shuffled[ranks]
    return ids
