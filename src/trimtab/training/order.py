"""The order in which training rows are visited, and batches gathered ahead of their use."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trimtab.batch import Batch
from trimtab.data.columns import Columns


class Order:
    """Each epoch visits all rows once, in an order drawn from the seed and the epoch alone."""

    def __init__(self, rows: int, batch_rows: int, seed: int) -> None:
        self.rows = rows
        self.batch_rows = batch_rows
        self.seed = seed

    @property
    def steps(self) -> int:
        """Batches of an epoch; the last one may be smaller."""
        return -(-self.rows // self.batch_rows)

    def pauses(self, step: int, evaluations: int) -> bool:
        """Say whether to evaluate after ``step``: so many times an epoch, and at its very end."""
        return step * evaluations // self.steps > (step - 1) * evaluations // self.steps

    def indices(self, step: int, last: int) -> Iterator[NDArray[np.int64]]:
        """Return the rows of batch ``step`` (counted from the start of training) up to ``last``."""
        while step < last:
            epoch, first = divmod(step, self.steps)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            for i in range(first, min(self.steps, first + last - step)):
                yield order[i * self.batch_rows : (i + 1) * self.batch_rows]
                step += 1


def batches(
    columns: Columns, indices: Iterator[NDArray[np.int64]], *, pinned: bool = False
) -> Iterator[Batch]:
    """Gather batches, the next one while the caller works on this one.

    Parameters
    ----------
    pinned
        Whether to put them where a GPU copies from while the processor goes on.
    """

    def gather(index: NDArray[np.int64]) -> Batch:
        batch = columns.batch(index)
        return batch.apply(Tensor.pin_memory) if pinned else batch

    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = None
        for index in indices:
            coming = thread.submit(gather, index)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
