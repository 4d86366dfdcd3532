"""Triton kernels of the fused double softmax: tiles of similarities that never leave the chip.

What a tile leaves behind are partial results, one line for each block of rows or span of columns,
written once and reduced in a fixed order: no atomics, the same numbers in every run.
Only `fused` imports this module: Triton is an optional dependency.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

kernel: Callable[[Callable[..., Any]], Any] = triton.jit

# Fields of a side of a pair, (FIELDS,) int64; sides (2 p, 2 p + 1) are images a and b of pair p.
FIELDS = tl.constexpr(5)
FIRST_VECTOR = tl.constexpr(0)
"""Row of the stacked vectors where the descriptors of the image begin."""
LENGTH = tl.constexpr(1)
"""How many descriptors the image has."""
FIRST_RESULT = tl.constexpr(2)
"""Where the results of its descriptors begin."""
FIRST_PARTIAL = tl.constexpr(3)
"""Where its partial results begin: N_PARTIALS lines of LENGTH numbers."""
N_PARTIALS = tl.constexpr(4)


@kernel
def exponential_sums(
    vectors: tl.tensor,
    sides: tl.tensor,
    partials: tl.tensor,
    scale: float,
    SIZE: tl.constexpr,
    STEP: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """Partial sums of 2^(scale a b') along rows and columns, for one (row block, span, pair).

    vectors: (V, SIZE), readable for a block beyond each image; sides: (2 P, FIELDS) int64
    partials: float32; a span of columns gives a line for image a, a block of rows one for image b
    """
    side_a = sides + tl.program_id(2) * 2 * FIELDS
    side_b = side_a + FIELDS
    n_rows, n_columns = _length(side_a), _length(side_b)
    first_row, first_column = tl.program_id(0) * ROWS, tl.program_id(1) * SPAN
    if (first_row >= n_rows) | (first_column >= n_columns):
        return  # the grid is that of the largest pair
    line_a = partials + _partial_line(side_a, tl.program_id(1))
    line_b = partials + _partial_line(side_b, tl.program_id(0))
    rows = first_row + tl.arange(0, ROWS)
    a = _block(vectors, side_a, rows, 0, SIZE, SIZE)
    row_sums = tl.zeros([ROWS], dtype=tl.float32)
    for start in range(first_column, tl.minimum(first_column + SPAN, n_columns), COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        exponents = scale * _products(a, rows, columns, vectors, side_a, side_b, SIZE, STEP)
        is_real = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
        terms = tl.where(is_real, tl.exp2(exponents), 0.0)
        row_sums += tl.sum(terms, axis=1)
        tl.store(line_b + columns, tl.sum(terms, axis=0), mask=columns < n_columns)
    tl.store(line_a + rows, row_sums, mask=rows < n_rows)


@kernel
def best_entries(
    vectors: tl.tensor,
    sides: tl.tensor,
    logs: tl.tensor,
    partials: tl.tensor,
    partial_places: tl.tensor,
    scale: float,
    SIZE: tl.constexpr,
    STEP: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """Largest log2 P of rows and columns with its place, for one (row block, span, pair).

    logs: float32, log2 of all sums of `exponential_sums`; log2 P = 2 s - log of row - log of column
    partials, partial_places: float32, int32; laid out as in `exponential_sums`. A place is the
    index of the other image's descriptor, the first of those that are equally good.
    """
    side_a = sides + tl.program_id(2) * 2 * FIELDS
    side_b = side_a + FIELDS
    n_rows, n_columns = _length(side_a), _length(side_b)
    first_row, first_column = tl.program_id(0) * ROWS, tl.program_id(1) * SPAN
    if (first_row >= n_rows) | (first_column >= n_columns):
        return
    line_a, line_b = (
        _partial_line(side_a, tl.program_id(1)),
        _partial_line(side_b, tl.program_id(0)),
    )
    rows = first_row + tl.arange(0, ROWS)
    a = _block(vectors, side_a, rows, 0, SIZE, SIZE)
    row_logs = _logs(logs, side_a, rows, n_rows)
    best = tl.full([ROWS], -float("inf"), dtype=tl.float32)
    best_columns = tl.zeros([ROWS], dtype=tl.int32)
    for start in range(first_column, tl.minimum(first_column + SPAN, n_columns), COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        column_logs = _logs(logs, side_b, columns, n_columns)
        products = _products(a, rows, columns, vectors, side_a, side_b, SIZE, STEP)
        values = products * (2 * scale) - row_logs[:, None] - column_logs[None, :]
        largest, place = tl.max(values, axis=1, return_indices=True)
        best_columns = tl.where(largest > best, start + place, best_columns)
        best = tl.maximum(best, largest)
        largest, place = tl.max(values, axis=0, return_indices=True)
        tl.store(partials + line_b + columns, largest, mask=columns < n_columns)
        tl.store(partial_places + line_b + columns, first_row + place, mask=columns < n_columns)
    tl.store(partials + line_a + rows, best, mask=rows < n_rows)
    tl.store(partial_places + line_a + rows, best_columns, mask=rows < n_rows)


@kernel
def logs_of_sums(
    sides: tl.tensor, partials: tl.tensor, logs: tl.tensor, LINE: tl.constexpr
) -> None:
    """Add the partial sums of one side, LINE descriptors a program; write their log2 to `logs`."""
    side = sides + tl.program_id(1) * FIELDS
    length = _length(side)
    entries = tl.program_id(0) * LINE + tl.arange(0, LINE)
    sums = tl.zeros([LINE], dtype=tl.float32)
    for number in range(_n_partials(side)):
        line = partials + _partial_line(side, number)
        sums += tl.load(line + entries, mask=entries < length, other=0.0)
    sums = tl.where(entries < length, sums, 1.0)  # no logarithm of 0
    first = logs + tl.load(side + FIRST_RESULT)
    tl.store(first + entries, tl.log2(sums), mask=entries < length)


@kernel
def first_best(
    sides: tl.tensor,
    partials: tl.tensor,
    partial_places: tl.tensor,
    best: tl.tensor,
    places: tl.tensor,
    LINE: tl.constexpr,
) -> None:
    """The first of the largest partial values of one side, LINE descriptors a program.

    best, places: what is written, float32 and int32, for all descriptors of all sides
    """
    side = sides + tl.program_id(1) * FIELDS
    length = _length(side)
    entries = tl.program_id(0) * LINE + tl.arange(0, LINE)
    largest = tl.full([LINE], -float("inf"), dtype=tl.float32)
    place = tl.zeros([LINE], dtype=tl.int32)
    for number in range(_n_partials(side)):
        line = _partial_line(side, number)
        values = tl.load(partials + line + entries, mask=entries < length, other=-float("inf"))
        there = tl.load(partial_places + line + entries, mask=entries < length, other=0)
        place = tl.where(values > largest, there, place)  # lines are in the order of the places
        largest = tl.maximum(largest, values)
    first = tl.load(side + FIRST_RESULT)
    tl.store(best + first + entries, largest, mask=entries < length)
    tl.store(places + first + entries, place, mask=entries < length)


@kernel
def _length(side: tl.tensor) -> tl.tensor:
    """How many descriptors an image has, int32: all but the starts of images stay below 2^31."""
    return tl.load(side + LENGTH).to(tl.int32)


@kernel
def _n_partials(side: tl.tensor) -> tl.tensor:
    """How many lines of partial results an image gets."""
    return tl.load(side + N_PARTIALS).to(tl.int32)


@kernel
def _partial_line(side: tl.tensor, number: tl.tensor) -> tl.tensor:
    """Where line `number` of the partial results of an image begins."""
    return tl.load(side + FIRST_PARTIAL) + number * tl.load(side + LENGTH)


@kernel
def _products(
    a: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    vectors: tl.tensor,
    side_a: tl.tensor,
    side_b: tl.tensor,
    SIZE: tl.constexpr,
    STEP: tl.constexpr,
) -> tl.tensor:
    """(R, C) float32 products of descriptors `rows` of image a and `columns` of image b.

    a: (R, SIZE) descriptors `rows`. Where they are too much to work with at a time, STEP is below
    SIZE: they are read again, STEP numbers at a time, and `a` is not used.
    """
    if STEP == SIZE:
        b = _block(vectors, side_b, columns, 0, SIZE, SIZE)
        return tl.dot(a, tl.trans(b), input_precision="ieee")
    products = tl.zeros([rows.shape[0], columns.shape[0]], dtype=tl.float32)
    for first in range(0, SIZE, STEP):
        part_a = _block(vectors, side_a, rows, first, SIZE, STEP)
        part_b = _block(vectors, side_b, columns, first, SIZE, STEP)
        products = tl.dot(part_a, tl.trans(part_b), products, input_precision="ieee")
    return products


@kernel
def _block(
    vectors: tl.tensor,
    side: tl.tensor,
    rows: tl.tensor,
    first: tl.tensor,
    SIZE: tl.constexpr,
    STEP: tl.constexpr,
) -> tl.tensor:
    """(R, STEP) numbers from `first` on of the descriptors `rows` of an image.

    What lies beyond its end is read, too; callers mask what comes of it.
    """
    image = vectors + tl.load(side + FIRST_VECTOR) * SIZE
    return tl.load(image + rows[:, None] * SIZE + first + tl.arange(0, STEP)[None, :])


@kernel
def _logs(logs: tl.tensor, side: tl.tensor, rows: tl.tensor, length: tl.tensor) -> tl.tensor:
    """Logs of the sums of descriptors `rows`; infinite beyond the end, so that P is 0 there."""
    first = logs + tl.load(side + FIRST_RESULT)
    return tl.load(first + rows, mask=rows < length, other=float("inf"))


INTERPRETED = not isinstance(exponential_sums, triton.JITFunction)
"""Did the process start with TRITON_INTERPRET=1, which runs kernels without a GPU, slowly?"""
