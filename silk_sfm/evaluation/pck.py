"""PCK of Descriptor Space (MSNet): are corresponding points each other's nearest descriptors?

The percentage of correct keypoints rates descriptors alone: the points are given. Its released code
evaluates at 3 pixels and calls that PCK@5; here a number means its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from silk_sfm.evaluation.kp2d_metrics import nearest_l2
from silk_sfm.geometry.homography import apply_homography

N_POINTS = 1000
BEST_SHARE = 90
"""Points are drawn where the Harris response is above this percentile."""


def truncated_targets(
    homography: np.ndarray, size: tuple[int, int], size_b: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the first image (width, height) lies in the second, cut to whole pixels.

    Returns (H, W, 2) int64 targets (x, y), cut towards zero, and (H, W) bool: inside the second
    image. A target between -1 and 0 becomes 0 and counts as inside, as in the released code.
    """
    width, height = size
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)  # (H, W, 2)
    moved = apply_homography(homography, grid.reshape(-1, 2).astype(np.float64))
    moved = np.where(np.isfinite(moved), moved, -2.0)
    targets = np.trunc(np.clip(moved, -2.0, 2.0**31)).astype(np.int64).reshape(height, width, 2)
    mask = ((targets >= 0) & (targets < size_b)).all(axis=2)
    return targets, mask


def harris_response(grey: np.ndarray) -> np.ndarray:
    """(H, W) float32 Harris response of an (H, W) float32 image: block 2, Sobel 3, k 0.04."""
    return np.asarray(cv2.cornerHarris(np.ascontiguousarray(grey), 2, 3, 0.04))


def draw_correspondences(
    grey: np.ndarray,
    homography: np.ndarray,
    size_b: tuple[int, int],
    rng: np.random.Generator,
    n_points: int = N_POINTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Up to `n_points` corners of (H, W) grey and their places in the other image, both (N, 2)
    float32 whole pixels.
    """
    height, width = grey.shape
    targets, mask = truncated_targets(homography, (width, height), size_b)
    response = harris_response(grey)
    rows, columns = np.nonzero(mask & (response > np.percentile(response, BEST_SHARE)))
    chosen = rng.permutation(len(rows))[:n_points]
    rows, columns = rows[chosen], columns[chosen]
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    return points, targets[rows, columns].astype(np.float32)


def correct_keypoints(
    descriptors_a: np.ndarray,
    descriptors_b: np.ndarray,
    points_b: np.ndarray,
    thresholds: Sequence[float],
) -> list[float]:
    """Share of points whose nearest descriptor in the other image lies within each threshold.

    Row i of (N, D) a corresponds to row i of (N, D) b, which lies at points_b[i]; the nearest is
    sought among these N rows, exactly (the released code does it approximately). NaN without
    points.
    """
    if len(descriptors_a) == 0:
        return [float("nan") for _ in thresholds]
    found = points_b[nearest_l2(descriptors_a, descriptors_b)]
    errors = np.linalg.norm(found.astype(np.float64) - points_b, axis=1)
    return [float((errors <= threshold).mean()) for threshold in thresholds]
