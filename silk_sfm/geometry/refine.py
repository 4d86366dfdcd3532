"""Least-squares refinement of an essential or fundamental matrix."""

from __future__ import annotations

import numpy as np

from silk_sfm.geometry.epipolar import homogeneous, sampson_error, sampson_parts, skew

TURNS = [skew(axis) for axis in np.eye(3)]
MAX_STEPS = 6
"""Inliers stop changing after three or four."""
FEWEST_POINTS = 8
"""A fundamental matrix has 7 degrees of freedom."""


def refine_epipolar(
    matrix: np.ndarray,
    points_a: np.ndarray,
    points_b: np.ndarray,
    threshold: float,
    is_essential: bool,
) -> np.ndarray:
    """Refine (3, 3) `matrix` by steps, each on the inliers of the last; keeps the one with most.

    points_a, points_b: (N, 2) of magnitude 1 (rays, or shifted and scaled pixels)
    threshold: largest Sampson error of an inlier, in their unit
    """
    best, most = matrix, 0
    inliers = np.zeros(len(points_a), dtype=bool)
    for _ in range(MAX_STEPS):
        before, inliers = inliers, sampson_error(matrix, points_a, points_b) <= threshold
        if inliers.sum() >= most:
            best, most = matrix, inliers.sum()
        if inliers.sum() < FEWEST_POINTS or np.array_equal(inliers, before):
            break
        matrix = refine_step(matrix, points_a[inliers], points_b[inliers], is_essential)
    return best


def refine_step(
    matrix: np.ndarray, points_a: np.ndarray, points_b: np.ndarray, is_essential: bool
) -> np.ndarray:
    """One Gauss-Newton step on the Sampson residuals of inliers: (3, 3) -> (3, 3).

    M = U diag(1, s, 0) V' keeps its rank: U and V turn by small rotations, and s changes unless M
    is essential (s = 1). points_a, points_b: (N, 2), as for `refine_epipolar`.
    """
    left, values, right = np.linalg.svd(matrix)
    middle = np.diag([1.0, 1.0 if is_essential else values[1] / values[0], 0.0])
    moves = [turn @ middle for turn in TURNS] + [middle @ turn.T for turn in TURNS]
    # An essential matrix does not change when U and V turn together about their third axis.
    moves = moves[:5] if is_essential else [*moves, np.diag([0.0, 1.0, 0.0])]
    products, gradients = sampson_parts(left @ middle @ right, points_a, points_b)
    along_a, along_b = homogeneous(points_a) @ right.T, homogeneous(points_b) @ left
    slopes = np.stack([((along_b @ move) * along_a).sum(axis=1) for move in moves], axis=1)
    weights = 1 / np.maximum(gradients, np.finfo(float).tiny)
    step = np.linalg.lstsq(slopes * weights[:, None], -products * weights, rcond=None)[0]
    moved: np.ndarray = left @ _moved(middle, step) @ right
    return moved


def _moved(middle: np.ndarray, step: np.ndarray) -> np.ndarray:
    """diag(1, s, 0) after `step`: three turns of U, two or three of V, and a change of s."""
    turn_left, turn_right = step[:3], np.append(step[3:6], 0.0)[:3]
    changed = middle + np.diag([0.0, step[6] if len(step) == 7 else 0.0, 0.0])
    moved: np.ndarray = _rotation(turn_left) @ changed @ _rotation(turn_right).T
    return moved


def _rotation(turn: np.ndarray) -> np.ndarray:
    """(3,) small turn -> (3, 3) rotation, by Cayley's formula (I - W / 2)^-1 (I + W / 2)."""
    half = skew(turn) / 2
    return np.linalg.solve(np.eye(3) - half, np.eye(3) + half)
