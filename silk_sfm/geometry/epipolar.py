"""Essential and fundamental matrices: x_b' M x_a = 0 for points of image a and image b."""

from __future__ import annotations

import numpy as np


def skew(vector: np.ndarray) -> np.ndarray:
    """(3, 3) matrix [v]x with [v]x w = v x w."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def essential_from_pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """E = [t]x R of a pose x_b = R x_a + t: (3, 3) and (3,) -> (3, 3)."""
    essential: np.ndarray = skew(translation) @ rotation
    return essential


def fundamental_from_essential(
    essential: np.ndarray, camera_a: np.ndarray, camera_b: np.ndarray
) -> np.ndarray:
    """F = K_b^-T E K_a^-1, all (3, 3); K maps rays to pixels."""
    fundamental: np.ndarray = np.linalg.inv(camera_b).T @ essential @ np.linalg.inv(camera_a)
    return fundamental


def sampson_error(matrix: np.ndarray, points_a: np.ndarray, points_b: np.ndarray) -> np.ndarray:
    """(N,) distance of (N, 2) pairs of points to the epipolar geometry, in the points' unit.

    Square root of Sampson's approximation (Hartley and Zisserman, eq. 11.9): pixels for F and
    pixels, focal lengths for E and rays. Infinite where both epipolar lines are undefined.
    """
    products, gradients = sampson_parts(matrix, points_a, points_b)
    unknown = np.full(len(products), np.inf)
    errors: np.ndarray = np.divide(np.abs(products), gradients, out=unknown, where=gradients > 0)
    return errors


def sampson_parts(
    matrix: np.ndarray, points_a: np.ndarray, points_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) products x_b' M x_a and (N,) lengths of their gradients in the four coordinates."""
    a, b = homogeneous(points_a), homogeneous(points_b)
    lines_b, lines_a = a @ matrix.T, b @ matrix  # (N, 3) each
    squares = (lines_b[:, :2] ** 2).sum(axis=1) + (lines_a[:, :2] ** 2).sum(axis=1)
    return (b * lines_b).sum(axis=1), np.sqrt(squares)


def homogeneous(points: np.ndarray) -> np.ndarray:
    """(N, 2) points -> (N, 3) float64 with a third coordinate of 1."""
    return np.column_stack([points, np.ones(len(points))])
