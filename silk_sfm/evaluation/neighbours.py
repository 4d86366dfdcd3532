"""Nearest points within a radius, without a matrix of all distances."""

from __future__ import annotations

import numpy as np

from silk_sfm.shapes import check_shapes


def nearest_within(points: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """(N,) float64 distance from each of (N, 2) points to the nearest of (M, 2) others.

    Infinite where none is within `radius` (inclusive). Others are sorted into square cells of that
    size, so that only those in 3 x 3 cells are compared.
    """
    check_shapes(points=(points, "N 2"), others=(others, "M 2"))
    nearest = np.full(len(points), np.inf)
    if len(points) == 0 or len(others) == 0:
        return nearest
    low = np.minimum(points.min(axis=0), others.min(axis=0))
    cells, other_cells = (np.floor((xy - low) / radius).astype(np.int64) for xy in (points, others))
    stride = int(max(cells[:, 1].max(), other_cells[:, 1].max())) + 3
    keys, other_keys = (xy[:, 0] * stride + xy[:, 1] + 1 for xy in (cells, other_cells))
    order = np.argsort(other_keys, kind="stable")
    ordered, ordered_keys = others[order].astype(np.float64), other_keys[order]
    for column in (-1, 0, 1):  # the three cells of a column have consecutive keys
        first = np.searchsorted(ordered_keys, keys + column * stride - 1, side="left")
        last = np.searchsorted(ordered_keys, keys + column * stride + 1, side="right")
        rows, candidates = _expand(first, last)
        distances = np.linalg.norm(ordered[candidates] - points[rows], axis=1)
        np.minimum.at(nearest, rows, distances)
    return np.where(nearest <= radius, nearest, np.inf)


def _expand(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row i repeated for each of first[i] ... last[i] - 1: (rows, these indices)."""
    counts = last - first
    rows = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return rows, np.arange(counts.sum()) - starts[rows] + first[rows]
