"""log sum exp over rows and columns of a matrix a b', with its gradient, in memory linear in both.

Both passes make the matrix anew, block by block, and compute in powers of two: exp2 is several
times as fast as exp.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from silk_sfm.matching.tiles import MutualPairs, products_with
from silk_sfm.nn.workers import Workers, as_many_workers
from silk_sfm.training.similarity_blocks import (
    CPU_BLOCK,
    GPU_BLOCK,
    LargestEntries,
    Side,
    product,
)

T = TypeVar("T")

LOG2_E = math.log2(math.e)
LARGEST_PLAIN = 80.0
"""Up to |s| = 80, 2^s, sums of 2^20 of them and their inverses are ordinary float32 numbers."""
FEWEST_FOR_THREADS = 2**20
"""Entries of a matrix from which on more than one thread pays."""


@dataclass(frozen=True, eq=False)
class LogSums:
    """What is known about the (P, Q) products s = a b'.

    rows: (K,) float64 log sum_j exp s_ij of the rows asked for; columns: (L,) float64 log sum_i
        exp s_ij of the columns asked for; both differentiable. The sums are float32 when a and b
        are, their logarithms are not rounded to it: what is subtracted from them is about as large.
    pairs: where s_ij is the largest of its row and of its column, in no order, each in one pair at
        most: the lowest index among equal ones
    """

    rows: Tensor
    columns: Tensor
    pairs: MutualPairs


def log_sums(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> LogSums:
    """Log sums and mutual largest entries of the product of (P, D) `a` and (Q, D) `b`.

    rows: (K,), columns: (L,) int64, ascending: those whose log sums are asked for. What lies in
    neither costs no exponential, and nothing for the gradient.
    """
    if len(a) == 0 or len(b) == 0:
        row_logs, column_logs = (a.new_full((len(each),), -torch.inf) for each in (rows, columns))
        return LogSums(row_logs.double(), column_logs.double(), MutualPairs.empty(a.device))
    found = _LogSums.apply(a, b, rows, columns)  # type: ignore[no-untyped-call]
    row_logs, column_logs, *pairs = found
    return LogSums(row_logs, column_logs, MutualPairs(*pairs))


def _in_front(chosen: Tensor, n: int) -> Tensor:
    """(n,) all indices: `chosen`, then the others."""
    others = torch.ones(n, dtype=torch.bool, device=chosen.device)
    others[chosen] = False
    return torch.cat([chosen, others.nonzero().squeeze(1)])


class _LogSums(torch.autograd.Function):
    """The function of `log_sums`; what is asked for lies in front while it works."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, ...]:
        order_a, order_b = _in_front(rows, len(a)), _in_front(columns, len(b))
        ctx.sides = Side(len(a), len(rows)), Side(len(b), len(columns))
        matrix = _Matrix(a[order_a], b[order_b], *ctx.sides)
        first, *others = matrix.share(partial(_see, matrix, order_a, order_b))
        row_logs, column_logs = first.sums.row_logs(), first.sums.column_logs()
        for other in others:
            first.largest.merge(other.largest)
            row_logs = torch.logaddexp2(row_logs, other.sums.row_logs())
            column_logs = torch.logaddexp2(column_logs, other.sums.column_logs())
        row_logs, column_logs = row_logs[: len(rows)], column_logs[: len(columns)]
        pairs = first.largest.mutual()
        values = pairs.values / LOG2_E
        ctx.save_for_backward(a, b, order_a, order_b, row_logs, column_logs)
        ctx.mark_non_differentiable(pairs.rows, pairs.columns, values)
        return row_logs / LOG2_E, column_logs / LOG2_E, pairs.rows, pairs.columns, values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        a, b, order_a, order_b, row_logs, column_logs = ctx.saved_tensors
        matrix = _Matrix(a[order_a], b[order_b], *ctx.sides)
        of_rows = _Gradients.padded(gradients[0], row_logs, a)
        of_columns = _Gradients.padded(gradients[1], column_logs, b)
        turned_a = [matrix.a[span].T.contiguous() for span in matrix.row_spans()]
        turned_b = torch.empty_like(b.T)
        descent = _Descent(matrix, of_rows, of_columns, turned_a, turned_b)
        gradient_a, gradient_b = torch.empty_like(a), torch.empty_like(b)
        gradient_a[order_a] = reduce(torch.add, matrix.share(descent.over))
        gradient_b[order_b] = turned_b.T
        return gradient_a, gradient_b, None, None


class _Matrix:
    """s = a b' log2 e: 2^s is exp of the products."""

    def __init__(self, a: Tensor, b: Tensor, side_a: Side, side_b: Side) -> None:
        self.a, self.b = a, b
        self.side_a, self.side_b = side_a, side_b
        self.scaled_a = a * LOG2_E
        self.block = CPU_BLOCK if a.device.type == "cpu" else GPU_BLOCK
        bound = self.scaled_a.norm(dim=1).max() * b.norm(dim=1).max()
        self.plain = bool(bound < LARGEST_PLAIN)

    def share(self, work: Callable[[list[slice]], T]) -> list[T]:
        """`work` of shares of the column spans, one for each thread."""
        alone = self.a.device.type != "cpu" or len(self.a) * len(self.b) < FEWEST_FOR_THREADS
        n_shares = 1 if alone else torch.get_num_threads()
        spans = self.side_b.spans(self.block[1], n_shares)
        shares = [spans[first::n_shares] for first in range(n_shares)]
        with nullcontext(Workers()) if alone else as_many_workers() as workers:
            return workers.map(work, shares)

    def row_spans(self) -> list[slice]:
        """Spans of rows."""
        return self.side_a.spans(self.block[0])

    def products(self, columns: slice) -> Callable[[slice], Tensor]:
        """The function from a span of rows to its block of s in `columns`."""
        multiply = products_with(self.b[columns], self.block[0])
        return lambda rows: multiply(self.scaled_a[rows])

    def sums(self, rows: slice, columns: slice) -> bool:
        """Whether some sum over a block is asked for."""
        return self.side_a.sums(rows) or self.side_b.sums(columns)


class _PlainSums:
    """Sums of 2^s, for |s| < LARGEST_PLAIN."""

    def __init__(self, matrix: _Matrix) -> None:
        self._rows = matrix.a.new_zeros(len(matrix.a))
        self._columns = matrix.b.new_zeros(len(matrix.b))

    def add(self, rows: slice, columns: slice, block: Tensor) -> None:
        """Add a block of s, and change it."""
        block.exp2_()
        self._rows[rows] += block.sum(dim=1)
        self._columns[columns] += block.sum(dim=0)

    def row_logs(self) -> Tensor:
        """(P,) float64 log2 of the sums."""
        return self._rows.double().log2_()

    def column_logs(self) -> Tensor:
        """(Q,) float64 log2 of the sums."""
        return self._columns.double().log2_()


class _ShiftedSums:
    """Sums of 2^s by their logarithms, for all finite s."""

    def __init__(self, matrix: _Matrix) -> None:
        self._rows = matrix.a.new_full((len(matrix.a),), -torch.inf)
        self._columns = matrix.b.new_full((len(matrix.b),), -torch.inf)

    def add(self, rows: slice, columns: slice, block: Tensor) -> None:
        """Add a block of s."""
        for logs, span, dim in ((self._rows, rows, 1), (self._columns, columns, 0)):
            largest = block.amax(dim=dim, keepdim=True)
            sums = torch.exp2(block - largest).sum(dim=dim)
            logs[span] = torch.logaddexp2(logs[span], largest.squeeze(dim) + sums.log2())

    def row_logs(self) -> Tensor:
        """(P,) float64 log2 of the sums."""
        return self._rows.double()

    def column_logs(self) -> Tensor:
        """(Q,) float64 log2 of the sums."""
        return self._columns.double()


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one thread learned in the first pass."""

    sums: _PlainSums | _ShiftedSums
    largest: LargestEntries


def _see(matrix: _Matrix, order_a: Tensor, order_b: Tensor, column_spans: list[slice]) -> _Seen:
    """The first pass over some columns."""
    sums = _PlainSums(matrix) if matrix.plain else _ShiftedSums(matrix)
    seen = _Seen(sums, LargestEntries(order_a, order_b, matrix.a))
    for columns in column_spans:
        multiply = matrix.products(columns)
        for rows in matrix.row_spans():
            block = multiply(rows)
            seen.largest.look(rows, columns, block)
            if matrix.sums(rows, columns):
                seen.sums.add(rows, columns, block)
    return seen


@dataclass(frozen=True, eq=False)
class _Gradients:
    """Of the loss by the log sums of all rows or columns, 0 for those not asked for.

    by_log: (n,); logs: (n,) log2 of the sums; factors: (n,) by_log / sum
    """

    by_log: Tensor
    logs: Tensor
    factors: Tensor

    @staticmethod
    def padded(by_log: Tensor, logs: Tensor, like: Tensor) -> _Gradients:
        """For all rows of `like`, from those of the first ones, in its numbers."""
        n_others = len(like) - len(by_log)
        by_log = torch.cat([by_log, by_log.new_zeros(n_others)])
        logs = torch.cat([logs, logs.new_full((n_others,), torch.inf)])
        factors = by_log * torch.exp2(-logs)
        return _Gradients(by_log.to(like), logs.to(like), factors.to(like))


@dataclass(frozen=True, eq=False)
class _Descent:
    """The second pass.

    d loss / d s_ij = by_log_i 2^(s_ij - log_i) + by_log_j 2^(s_ij - log_j)
    """

    matrix: _Matrix
    of_rows: _Gradients
    of_columns: _Gradients
    turned_a: list[Tensor]
    """(D, R) the rows of a in each span, contiguous."""
    turned_b: Tensor
    """(D, Q) the gradient of b, filled in."""

    def over(self, column_spans: list[slice]) -> Tensor:
        """(P, D) gradient of a through some columns."""
        matrix = self.matrix
        gradient_a = torch.zeros_like(matrix.a)
        for columns in column_spans:
            multiply = matrix.products(columns)
            multiply_back = products_with(matrix.b[columns].T, matrix.block[0])
            turned_b = torch.zeros_like(self.turned_b[:, columns])
            for rows, turned_a in zip(matrix.row_spans(), self.turned_a, strict=True):
                if matrix.sums(rows, columns):
                    weights = self._weights(multiply(rows), rows, columns)
                    gradient_a[rows] += multiply_back(weights)
                    turned_b += product(turned_a, weights)
            self.turned_b[:, columns] = turned_b
        return gradient_a

    def _weights(self, block: Tensor, rows: slice, columns: slice) -> Tensor:
        """(R, C) d loss / d s."""
        by_row, by_column = self.of_rows, self.of_columns
        if self.matrix.plain:
            factors = torch.add(by_row.factors[rows, None], by_column.factors[columns])
            return factors.mul_(block.exp2_())
        shares = torch.exp2(block - by_row.logs[rows, None]).mul_(by_row.by_log[rows, None])
        return shares.add_(
            torch.exp2(block - by_column.logs[columns]).mul_(by_column.by_log[columns])
        )
