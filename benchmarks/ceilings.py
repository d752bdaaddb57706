"""What this machine can do at best: products of matrices, streams, and rows at random places."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LARGE = 1536
"""Rows and columns of the matrices whose product is the ceiling of arithmetic."""
STREAM_BYTES = 128 << 20
WIDTH = 16
ROW_BYTES = 4 * WIDTH
"""Of an embedding of 16 numbers: a cache line."""


def seconds_of(run: Callable[[], object], *, least: float = 0.15, times: int = 5) -> float:
    """Return the best time of a call, over ``times`` calls and ``least`` seconds at least."""
    run()
    best, start, calls = float("inf"), time.perf_counter(), 0
    while calls < times or time.perf_counter() - start < least:
        before = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - before)
        calls += 1
    return best


def product_flops(rows: int, inner: int, columns: int, dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of ``[rows, inner] @ [inner, columns]``."""
    first, second = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return 2.0 * rows * inner * columns / seconds_of(lambda: torch.mm(first, second, out=out))


def copy_bytes() -> float:
    """Return the bytes a second, read and written, of a copy of arrays larger than the cache."""
    source = torch.ones(STREAM_BYTES // 4)
    target = torch.empty_like(source)
    return 2 * STREAM_BYTES / seconds_of(lambda: target.copy_(source))


def triad_bytes() -> float:
    """Return the bytes a second of ``a = b + s c``."""
    b, c = torch.ones(STREAM_BYTES // 4), torch.ones(STREAM_BYTES // 4)
    a = torch.empty_like(b)
    return 3 * STREAM_BYTES / seconds_of(lambda: torch.add(b, c, alpha=2.0, out=a))


class RandomRows:
    """Rows of 64 bytes at places of a table drawn at random, each other time at other ones.

    Parameters
    ----------
    places
        Sets of different rows, to be taken in turn: else they would stay in the cache.
    """

    def __init__(self, table: Tensor, places: list[Tensor]) -> None:
        self.table, self.places, self.turn = table, places, 0
        self.rows = table.new_empty(max(map(len, places)), table.shape[1])

    @classmethod
    def uniform(cls, table_rows: int, wanted: int, sets: int = 12) -> "RandomRows":
        """Draw the places uniformly, and put them in rising order, as a step does."""
        draws = [torch.randint(table_rows, (wanted,)).unique() for _ in range(sets)]
        return cls(torch.zeros(table_rows, WIDTH), draws)

    def _next(self) -> tuple[Tensor, Tensor]:
        self.turn = (self.turn + 1) % len(self.places)
        places = self.places[self.turn]
        return places, self.rows[: len(places)]

    def gather(self) -> None:
        places, rows = self._next()
        torch.index_select(self.table, 0, places, out=rows)

    def scatter(self) -> None:
        places, rows = self._next()
        self.table.index_copy_(0, places, rows)

    def bytes_a_second(self, run: Callable[[], None]) -> float:
        """Return bytes read and written, row by row: twice those of the rows."""
        mean = sum(map(len, self.places)) / len(self.places)
        return 2 * mean * 4 * self.table.shape[1] / seconds_of(run, times=2 * len(self.places))


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """What a step is held against.

    Attributes
    ----------
    products
        Precision to the operations a second of each shape of product.
    bytes_a_second
        Of copies, triads, and rows of 64 bytes gathered and scattered; read and written.
    """

    products: dict[str, dict[str, float]]
    bytes_a_second: dict[str, float]

    def flops(self, precision: str) -> float:
        return max(self.products[precision].values())

    def speed(self, traffic: str) -> float:
        """Return bytes a second: of ``stream`` the faster of copy and triad."""
        found = self.bytes_a_second
        return max(found["copy"], found["triad"]) if traffic == "stream" else found[traffic]


def ceilings(table_rows: int, wanted: int, shapes: list[tuple[int, int, int]]) -> Ceilings:
    """Measure the ceilings.

    Parameters
    ----------
    wanted
        Table rows that are gathered and scattered at a time.
    shapes
        Products that occur, beside the large one.
    """
    at_random = RandomRows.uniform(table_rows, wanted)
    every = [(LARGE, LARGE, LARGE), *shapes]
    return Ceilings(
        products={
            name: {" x ".join(map(str, s)): product_flops(*s, getattr(torch, name)) for s in every}
            for name in ("float32", "bfloat16")
        },
        bytes_a_second={
            "copy": copy_bytes(),
            "triad": triad_bytes(),
            "gather": at_random.bytes_a_second(at_random.gather),
            "scatter": at_random.bytes_a_second(at_random.scatter),
        },
    )
