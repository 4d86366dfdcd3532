"""Exact double-softmax matching without the N x M matrix.

P = softmax over rows x softmax over columns of the similarity s (Gleize et al. 2023, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from silk_sfm.matching.exponentials import Exponentials, exponentials
from silk_sfm.matching.mutual import mutual_best
from silk_sfm.matching.tiles import MutualPairs, Similarity, row_tiles

Tiles = Iterator[tuple[int, torch.Tensor]]
"""(first row, (R, M) tile) after (first row, tile)."""

LOWEST_LISTED = 0.01
"""From this threshold on a row has at most 100 candidates: few enough to list in one pass, in half
of the time of two."""
ROUNDING = 0.999
"""Candidates are taken from a little below the threshold, so that rounding loses none."""


class _Candidates:
    """Entries that may exceed the threshold, in row-major order.

    Room for all is taken at once: small blocks kept between large temporary ones would keep the
    allocator from using the latter again.
    """

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.count = 0
        self._indices = torch.empty(2, capacity, dtype=torch.int64, device=device)
        self._numbers = torch.empty(2, capacity, device=device)

    def add(self, first: int, values: torch.Tensor, row_terms: torch.Tensor, low: float) -> None:
        """Keep the entries of one tile whose softmax over the row exceeds `low`."""
        sums = row_terms.sum(dim=1)
        rows = (row_terms.amax(dim=1) > low * sums).nonzero().squeeze(1)
        above = row_terms.index_select(0, rows) > low * sums[rows, None]
        picked, columns = above.nonzero(as_tuple=True)
        rows = rows[picked]
        here = slice(self.count, self.count + len(rows))
        self.count = here.stop
        self._indices[0, here], self._indices[1, here] = first + rows, columns
        self._numbers[0, here] = row_terms[rows, columns] / sums[rows]
        self._numbers[1, here] = values[rows, columns]

    def read(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(C,) rows, columns (int64), softmax over the row and prepared values (float32)."""
        rows, columns = self._indices[:, : self.count]
        row_shares, values = self._numbers[:, : self.count]
        return rows, columns, row_shares, values


@torch.no_grad()
def double_softmax(
    a: torch.Tensor,
    b: torch.Tensor,
    temperature: float,
    threshold: float,
    similarity: Similarity = "float32",
) -> MutualPairs:
    """Pairs (i, j) where P_ij is the largest of row i and of column j, and P_ij > threshold.

    a: (N, D), b: (M, D) float32 on one device; s = a b' / temperature. Values are P. Works on tiles
    of whole rows: one pass when few entries can exceed the threshold, else two.
    similarity: in which numbers s is computed
    """
    if len(a) == 0 or len(b) == 0:
        return MutualPairs.empty(a.device)
    a = a / temperature
    bound = float(a.norm(dim=1).max() * b.norm(dim=1).max())
    terms = exponentials(len(b), bound, b.device)
    tiles = partial(row_tiles, a, b, similarity)
    if threshold >= LOWEST_LISTED:
        pairs = _best_listed(tiles(), terms, ROUNDING * threshold, (len(a), len(b)))
    else:
        pairs = _best_of_all(tiles, terms, (len(a), len(b)))
    return pairs.select(pairs.values > threshold)


def _best_of_all(
    tiles: Callable[[], Tiles], terms: Exponentials, shape: tuple[int, int]
) -> MutualPairs:
    """Pass 1: column sums. Pass 2: P itself, tile by tile; a tile has whole rows to sum."""
    for _, tile in tiles():
        terms.add_columns(terms.prepare(tile))
    lowest = torch.full((shape[1],), -1.0, device=terms.sums.device)
    return mutual_best(_probability_tiles(tiles(), terms), shape[0], lowest)


def _probability_tiles(tiles: Tiles, terms: Exponentials) -> Tiles:
    for first, tile in tiles:
        values = terms.prepare(tile)
        probability = terms.column_shares(values, slice(None))
        row_terms = terms.row_terms(values)
        probability *= row_terms
        yield first, probability.div_(row_terms.sum(dim=1, keepdim=True))


def _best_listed(
    tiles: Tiles, terms: Exponentials, threshold: float, shape: tuple[int, int]
) -> MutualPairs:
    """One pass: the row softmax bounds P from above, so at most 1 / threshold entries of a row
    can exceed it. Only these are kept until the column sums are complete.
    """
    candidates = _Candidates(shape[0] * (int(1 / threshold) + 1), terms.sums.device)
    for first, tile in tiles:
        values = terms.prepare(tile)
        terms.add_columns(values)
        candidates.add(first, values, terms.row_terms(values), threshold)
    rows, columns, row_shares, values = candidates.read()
    probability = row_shares * terms.column_shares(values, columns)
    return _mutual_listed(rows, columns, probability, shape)


def _mutual_listed(
    rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]
) -> MutualPairs:
    """Listed entries that are the first best of their row and of their column."""
    best = _first_best(rows, columns, values, shape[0])
    best &= _first_best(columns, rows, values, shape[1])
    return MutualPairs(rows[best], columns[best], values[best])


def _first_best(
    group: torch.Tensor, order: torch.Tensor, values: torch.Tensor, n_groups: int
) -> torch.Tensor:
    """(C,) bool: has the largest value of its group and, among equal ones, the lowest `order`."""
    largest = values.new_full((n_groups,), -1.0).scatter_reduce(0, group, values, "amax")
    is_largest = values == largest[group]
    late = torch.iinfo(torch.int64).max
    place = torch.where(is_largest, order, late)
    first = order.new_full((n_groups,), late).scatter_reduce(0, group, place, "amin")
    return is_largest & (order == first[group])
