"""Homographies between two images: x_b = H x_a up to scale."""

from __future__ import annotations

import numpy as np

from silk_sfm.pixels import PixelGrid


def apply_homography(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 2) points -> (N, 2) float64 points, not finite where `homography` sends to infinity."""
    scaled = np.column_stack([points, np.ones(len(points))]) @ homography.T  # (N, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved: np.ndarray = scaled[:, :2] / scaled[:, 2:]
    return moved


def transfer_error(
    homography: np.ndarray, points_a: np.ndarray, points_b: np.ndarray
) -> np.ndarray:
    """(N,) distance between H x_a and x_b in the unit of the points; infinite where undefined."""
    errors = np.linalg.norm(apply_homography(homography, points_a) - points_b, axis=1)
    return np.where(np.isfinite(errors), errors, np.inf)


def corner_error(estimated: np.ndarray, true: np.ndarray, size: tuple[int, int]) -> float:
    """Mean distance in pixels between the corners moved by two homographies.

    size: (width, height); the corners are the centres of the four corner pixels.
    """
    right, bottom = size[0] - 1, size[1] - 1
    corners = np.array([(0, 0), (right, 0), (0, bottom), (right, bottom)], dtype=np.float64)
    return float(transfer_error(estimated, corners, apply_homography(true, corners)).mean())


def resized_homography(homography: np.ndarray, grid_a: PixelGrid, grid_b: PixelGrid) -> np.ndarray:
    """(3, 3) the homography between the inputs of both grids, from the one between the raw files.

    Exact for pixel centres: resizing moves x to (x + 0.5) s - 0.5, not to x s.
    """
    to_b = np.linalg.inv(_to_raw_matrix(grid_b))
    return np.asarray(to_b @ homography @ _to_raw_matrix(grid_a))


def _to_raw_matrix(grid: PixelGrid) -> np.ndarray:
    """(3, 3) affine map of input pixels to raw pixels."""
    origin, x, y = grid.to_raw(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    return np.column_stack([[*(x - origin), 0.0], [*(y - origin), 0.0], [*origin, 1.0]])
