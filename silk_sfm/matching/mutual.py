"""Exact mutual nearest neighbours and ratio test, without the similarity matrix."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from silk_sfm.matching.tiles import MutualPairs, Similarity, row_tiles


@torch.no_grad()
def mutual_nearest(
    a: torch.Tensor, b: torch.Tensor, ratio: float = 1.0, similarity: Similarity = "float32"
) -> MutualPairs:
    """Pairs (i, j) whose dot product is the largest of row i and of column j.

    a: (N, D), b: (M, D) float32 on one device. The lowest index wins among equal products.
    ratio: below 1, keep a pair when d_ij < ratio * d(second best of row i), d = 1 - dot product;
        the only candidate of a row passes (Lowe 2004, section 7.1)
    similarity: in which numbers the dot products are computed
    """
    if len(a) == 0 or len(b) == 0:
        return MutualPairs.empty(a.device)
    lowest = a.new_full((len(b),), -torch.inf)
    seconds = a.new_empty(len(a)) if ratio < 1 else None
    pairs = mutual_best(row_tiles(a, b, similarity), len(a), lowest, seconds)
    if seconds is None:
        return pairs
    distances = (1 - pairs.values).clamp_(min=0)  # rounding can make it negative
    return pairs.select(distances < ratio * (1 - seconds[pairs.rows]))


def mutual_best(
    tiles: Iterable[tuple[int, torch.Tensor]],
    n_rows: int,
    lowest: torch.Tensor,
    seconds: torch.Tensor | None = None,
) -> MutualPairs:
    """Pairs that are the best of their row and of their column over all (R, M) `tiles`.

    lowest: (M,) numbers below every entry. A column remembers its best value and the tile where
    that value came first; only in that tile the first of its rows is looked for. Changes the tiles.
    seconds: room for (n_rows,) the second best entry of each row, -inf when it has one column
    """
    column_best, column_tile = lowest, torch.zeros_like(lowest, dtype=torch.int64)
    columns = column_tile.new_zeros(n_rows)
    row_tile = torch.full_like(columns, -1)
    values = lowest.new_zeros(n_rows)
    for first, tile in tiles:
        here = slice(first, first + len(tile))
        values[here], columns[here] = tile.max(dim=1)
        tile_best = tile.amax(dim=0)
        column_tile = torch.where(tile_best > column_best, first, column_tile)
        column_best = torch.maximum(column_best, tile_best)
        rows = _first_of_column(tile, values[here], columns[here], tile_best)
        row_tile[first + rows] = first
        if seconds is not None:
            seconds[here] = tile.scatter_(1, columns[here, None], -torch.inf).amax(dim=1)
    rows = (row_tile == column_tile[columns]).nonzero().squeeze(1)
    return MutualPairs(rows, columns[rows], values[rows])


def _first_of_column(
    tile: torch.Tensor, values: torch.Tensor, columns: torch.Tensor, tile_best: torch.Tensor
) -> torch.Tensor:
    """(K,) rows of the (R, M) `tile` whose best entry is also the first best of its column."""
    rows = (values == tile_best[columns]).nonzero().squeeze(1)
    entries = tile.index_select(1, columns[rows])  # (R, K)
    order = torch.arange(len(tile), device=tile.device)[:, None]
    first = torch.where(entries == values[rows], order, len(tile)).amin(dim=0)
    return rows[first == rows]
