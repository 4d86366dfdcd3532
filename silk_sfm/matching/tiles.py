"""Tiles of whole rows of a similarity matrix, made one after the other in one buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

CPU_TILE = 2**21
"""Numbers per tile (8 MB): measured fastest from 8,000 to 10,000 columns; stays near the caches."""
GPU_TILE = 2**25
"""Numbers per tile (128 MB): few launches, small beside a GPU's memory."""
FEWEST_ROWS = 32
"""A matrix product with fewer rows is markedly slower per number."""


@dataclass(frozen=True, eq=False)
class MutualPairs:
    """Pairs in which each side is the other's best, sorted by row.

    rows: (K,) int64, each at most once; columns: (K,) int64, each at most once
    values: (K,) float32, what was the best
    """

    rows: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    @staticmethod
    def empty(device: torch.device) -> MutualPairs:
        """No pair."""
        indices = torch.zeros(0, dtype=torch.int64, device=device)
        return MutualPairs(indices, indices, torch.zeros(0, device=device))

    def select(self, kept: torch.Tensor) -> MutualPairs:
        """The pairs where the (K,) bool mask `kept` is set."""
        return MutualPairs(self.rows[kept], self.columns[kept], self.values[kept])


def rows_per_tile(n_columns: int, device: torch.device) -> int:
    """How many rows of `n_columns` numbers a tile has on `device`."""
    tile = CPU_TILE if device.type == "cpu" else GPU_TILE
    return max(FEWEST_ROWS, tile // max(n_columns, 1))


def row_tiles(a: torch.Tensor, b: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first row, (R, M) tile) of the product of (N, D) `a` and (M, D) `b`, both float32.

    The caller may change a tile in place; the next one overwrites it.
    """
    n_rows = min(rows_per_tile(len(b), b.device), len(a))
    buffer = a.new_empty(n_rows, len(b))
    for first in range(0, len(a), n_rows):
        part = a[first : first + n_rows]
        yield first, torch.mm(part, b.T, out=buffer[: len(part)])
