"""Tiles of whole rows of a similarity matrix, made one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import torch

Similarity = Literal["float32", "float16", "bfloat16"]
"""In which numbers descriptors are multiplied; sums over tiles are float32 always."""

CPU_TILE = 2**22
"""Numbers per tile (16 MB): measured fastest for 10,000 columns; stays near the caches."""
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

    def select(self, kept: torch.Tensor | slice) -> MutualPairs:
        """The pairs of a slice, or where the (K,) bool mask `kept` is set."""
        return MutualPairs(self.rows[kept], self.columns[kept], self.values[kept])


def rows_per_tile(n_columns: int, device: torch.device) -> int:
    """How many rows of `n_columns` numbers a tile has on `device`."""
    tile = CPU_TILE if device.type == "cpu" else GPU_TILE
    return max(FEWEST_ROWS, tile // max(n_columns, 1))


def row_tiles(
    a: torch.Tensor, b: torch.Tensor, similarity: Similarity = "float32"
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first row, (R, M) float32 tile) of the product of (N, D) `a` and (M, D) `b`.

    The caller may change a tile in place, and should not keep it.
    """
    dtype: torch.dtype = getattr(torch, similarity)
    a, b = a.to(dtype), b.to(dtype)
    n_rows = rows_per_tile(len(b), b.device)
    multiply = products_with(b, n_rows)
    for first in range(0, len(a), n_rows):
        yield first, multiply(a[first : first + n_rows]).float()


def products_with(b: torch.Tensor, n_rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function from (R, D), R about `n_rows`, to its (R, M) products with (M, D) `b`.

    In float32 on a CPU by oneDNN, where torch has it, with `b` packed once: the BLAS of torch is
    Intel's, which leaves half of the speed of other CPUs unused.
    """
    if b.device.type != "cpu" or b.dtype != torch.float32 or not has_onednn():
        return lambda a: a @ b.T
    packed = torch.ops.mkldnn._reorder_linear_weight(b.contiguous(), n_rows)
    return lambda a: cast(
        "torch.Tensor", torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")
    )


@cache
def has_onednn() -> bool:
    """Are the matrix products of oneDNN there, which torch does not document?"""
    available = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    names = ("_linear_pointwise", "_reorder_linear_weight")
    return available and all(hasattr(torch.ops.mkldnn, name) for name in names)
