"""Homographies between two images: x_b = H x_a up to scale."""

from __future__ import annotations

import numpy as np


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
