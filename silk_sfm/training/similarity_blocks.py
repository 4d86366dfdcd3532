"""A matrix s = a b' seen block by block: how it is cut, its products, its largest entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from silk_sfm.matching.tiles import MutualPairs, has_onednn

CPU_BLOCK = (128, 4096)
"""Rows and columns, 2 MB: stays near a core's caches, and products are at their fastest."""
GPU_BLOCK = (4096, 8192)
"""128 MB: few launches, small beside a GPU's memory."""
GROUP = 32
"""Columns whose largest entry is found first when a row's is looked for."""


@dataclass(frozen=True)
class Side:
    """The n rows or columns of a matrix; the sums of the first `n_summed` are asked for."""

    n: int
    n_summed: int

    def spans(self, size: int, multiple: int = 1) -> list[slice]:
        """Spans of about equal length, at most `size`, summed and other ones apart.

        The number of each kind is a multiple of `multiple`, if there are as many.
        """
        summed = _spans(0, self.n_summed, size, multiple)
        return [*summed, *_spans(self.n_summed, self.n, size, multiple)]

    def sums(self, span: slice) -> bool:
        """Whether the sums of a span are asked for."""
        return bool(span.start < self.n_summed)


def _spans(first: int, end: int, size: int, multiple: int) -> Iterator[slice]:
    n = -(-(end - first) // (size * multiple)) * multiple
    edges = [first + (end - first) * i // n for i in range(n + 1)] if n else []
    return (slice(a, b) for a, b in pairwise(edges) if a < b)


class LargestEntries:
    """The largest entry of each row and each column of what was looked at, block by block.

    row_names: (P,), column_names: (Q,) int64, ascending within a block: what rows and columns are
        called in the result; a lower name wins among equal entries
    like: of the type and on the device of the entries
    """

    def __init__(self, row_names: Tensor, column_names: Tensor, like: Tensor) -> None:
        self.row_names, self.column_names = row_names, column_names
        self.row_values = like.new_full((len(row_names),), -torch.inf)
        self.row_columns = torch.zeros_like(row_names)
        self.column_values = like.new_full((len(column_names),), -torch.inf)

    def look(self, rows: slice, columns: slice, block: Tensor) -> None:
        """Learn the (R, C) `block` of some rows and columns."""
        values, places = first_largest(block)
        self._learn_rows(rows, values, self.column_names[columns][places])
        column_values = self.column_values[columns]
        torch.maximum(column_values, block.amax(dim=0), out=column_values)

    def merge(self, other: LargestEntries) -> None:
        """Learn what another one learned about the same matrix."""
        self._learn_rows(slice(None), other.row_values, other.row_columns)
        self.column_values = torch.maximum(self.column_values, other.column_values)

    def mutual(self) -> MutualPairs:
        """The entries that are largest of their row and of their column, in no order."""
        column_values = torch.empty_like(self.column_values)
        column_values[self.column_names] = self.column_values
        both = (self.row_values == column_values[self.row_columns]).nonzero().squeeze(1)
        rows, columns = self.row_names[both], self.row_columns[both]
        first = rows.new_full((len(column_values),), len(self.row_values))
        first.scatter_reduce_(0, columns, rows, "amin")
        kept = first[columns] == rows
        return MutualPairs(rows[kept], columns[kept], self.row_values[both[kept]])

    def _learn_rows(self, rows: slice, values: Tensor, columns: Tensor) -> None:
        known_values, known_columns = self.row_values[rows], self.row_columns[rows]
        better = (values > known_values) | ((values == known_values) & (columns < known_columns))
        self.row_columns[rows] = torch.where(better, columns, known_columns)
        self.row_values[rows] = torch.maximum(values, known_values)


def first_largest(block: Tensor) -> tuple[Tensor, Tensor]:
    """(R, C) -> (R,) largest of each row, (R,) int64 its first column.

    In two steps, the largest of each group of columns first: three times as fast as `max`, which
    carries indices along.
    """
    n_columns = block.shape[1]
    n_groups = n_columns // GROUP
    if n_groups < 2:
        return cast("tuple[Tensor, Tensor]", tuple(block.max(dim=1)))
    whole = block[:, : n_groups * GROUP].reshape(-1, n_groups, GROUP).amax(dim=2)
    last = block[:, -GROUP:].amax(dim=1, keepdim=True)  # overlaps: equals there come before it
    values, groups = torch.cat([whole, last], dim=1).max(dim=1)
    starts = (groups * GROUP).clamp(max=n_columns - GROUP)
    places = starts[:, None] + torch.arange(GROUP, device=block.device)
    equal = block.gather(1, places) == values[:, None]
    return values, starts + equal.int().argmax(dim=1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """(K, N) contiguous `a`, (N, M) `b` -> (K, M); fastest where `b` is contiguous.

    By oneDNN in float32 on a CPU, as in `matching.tiles`.
    """
    if b.device.type != "cpu" or b.dtype != torch.float32 or not has_onednn():
        return a @ b
    linear = torch.ops.mkldnn._linear_pointwise
    return cast("Tensor", linear(a, b.T, None, "none", [], ""))
