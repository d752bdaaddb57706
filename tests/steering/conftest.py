from collections.abc import Callable

import numpy as np
import pytest

from trimtab.steering.candidates import Candidates

UNITS = {"click": "", "like": "", "play": "ms"}


@pytest.fixture
def rows() -> Candidates:
    """Six candidates of two users in two scenes; one scene has no play time."""
    nothing = float("nan")
    return Candidates(
        predictions={
            "click": np.array([0.1, 0.5, 0.3, 0.2, 0.9, 0.4]),
            "like": np.array([0.01, 0.02, 0.05, 0.3, 0.1, 0.0]),
            "play": np.array([60000.0, 30000.0, nothing, nothing, 6000.0, 120000.0]),
        },
        labels={
            "click": np.array([0.0, 1, 0, 1, 1, 0]),
            "like": np.array([0.0, 0, 0, 1, 0, nothing]),
            "play": np.array([0.0, 20000, nothing, nothing, 5000, 0]),
        },
        units=UNITS,
        group=np.array([7, 7, 7, 2, 2, 2]),
        scene=np.array([0, 0, 1, 1, 0, 0]),
        scenes=("stream", "cover"),
    )


@pytest.fixture
def many() -> Callable[[int], Candidates]:
    """Return candidates of ten a user, with labels drawn from the predictions."""

    def made(count: int, seed: int = 0) -> Candidates:
        random = np.random.default_rng(seed)
        click, like = random.random(count), random.random(count) ** 4
        play = random.exponential(20000, count)
        return Candidates(
            predictions={"click": click, "like": like, "play": play},
            labels={
                "click": (random.random(count) < click).astype(float),
                "like": (random.random(count) < like).astype(float),
                "play": random.exponential(play),
            },
            units=UNITS,
            group=np.arange(count, dtype=np.int64) // 10,
            scene=np.arange(count, dtype=np.int64) % 2,
            scenes=("stream", "cover"),
        )

    return made
