"""Pairs of images that were taken near each other."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from silk_sfm.errors import ConfigError
from silk_sfm.pair_rows import PairRows, listed_rows
from silk_sfm.shapes import check_shapes


def near_rows(points: np.ndarray, n_nearest: int, radius: float | None) -> PairRows:
    """Each of (N, 3) places with its nearest others, or with all within `radius`: n_nearest = 0.

    Raises ConfigError when neither is given.
    """
    if n_nearest:
        return nearest_rows(points, n_nearest, radius)
    if radius is None:
        raise ConfigError("nearest = 0 takes all images within radius_m: give one of the two.")
    return radius_rows(points, radius)


def nearest_rows(points: np.ndarray, n_nearest: int, radius: float | None = None) -> PairRows:
    """Each of (N, 3) places with its `n_nearest` nearest others, within `radius` if given.

    Two images are paired when one is among the nearest of the other. Memory grows with N times
    `n_nearest`.
    """
    check_shapes(points=(points, "N 3"))
    n_images = len(points)
    if n_images < 2:
        return listed_rows(n_images, np.zeros((0, 2), np.int64))
    n_asked = min(n_nearest + 1, n_images)  # a place finds itself too
    limit = np.inf if radius is None else np.nextafter(radius, np.inf)
    _, found = KDTree(points).query(points, range(1, n_asked + 1), distance_upper_bound=limit)
    own = np.repeat(np.arange(n_images)[:, None], n_asked, axis=1)
    others = found != own
    spare = others.all(axis=1)  # more images at one place than asked for: it missed itself
    others[spare, -1] = False
    others &= found < n_images  # KDTree writes N where there is nobody within the limit
    return listed_rows(n_images, np.stack([own[others], found[others]], axis=1))


def radius_rows(points: np.ndarray, radius: float) -> PairRows:
    """Each of (N, 3) places with all others within `radius` (inclusive), found row by row."""
    check_shapes(points=(points, "N 3"))
    tree = KDTree(points)

    def row(i: int) -> np.ndarray:
        near = np.array(tree.query_ball_point(points[i], radius, return_sorted=True), np.int64)
        return near[near > i]

    counts = tree.query_ball_point(points, radius, return_length=True)
    return PairRows(len(points), row, (int(counts.sum()) - len(points)) // 2)
