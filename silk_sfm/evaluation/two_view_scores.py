"""How good a verified pair is: inliers at one common threshold, and the error of its pose."""

from __future__ import annotations

import cv2
import numpy as np

from silk_sfm.evaluation.pose_metrics import relative_pose_error
from silk_sfm.features import TwoViewGeometry
from silk_sfm.geometry.epipolar import sampson_error
from silk_sfm.geometry.homography import transfer_error
from silk_sfm.geometry.pose import RotationTranslation
from silk_sfm.plugins import Correspondences

FAR = 1e9
"""Largest depth of a point that votes for a pose, in baselines."""
FEWEST = 5
"""Matches that fix an essential matrix."""


def geometry_errors_px(geometry: TwoViewGeometry, points: Correspondences) -> np.ndarray:
    """(M,) error of every tentative match in pixels of the files; infinite where undefined.

    points: of all tentative matches, with rays when the geometry is essential
    """
    if not geometry.matrix.any():
        return np.full(len(points.pixels_a), np.inf)
    if geometry.kind == "homography":
        return transfer_error(geometry.matrix, points.pixels_a, points.pixels_b)
    if geometry.kind == "fundamental" or points.rays_a is None or points.rays_b is None:
        return sampson_error(geometry.matrix, points.pixels_a, points.pixels_b)
    return sampson_error(geometry.matrix, points.rays_a, points.rays_b) * points.focal_px


def pose_error_degrees(
    geometry: TwoViewGeometry,
    points: Correspondences,
    inliers: np.ndarray,
    true: RotationTranslation,
) -> float:
    """The larger of the angles of rotation and translation; infinite without an essential matrix.

    inliers: (M,) bool, the matches that choose between the matrix's four poses
    """
    if points.rays_a is None or points.rays_b is None or geometry.kind != "essential":
        return np.inf
    if np.count_nonzero(inliers) < FEWEST:
        return np.inf
    a, b = (np.ascontiguousarray(rays[inliers]) for rays in (points.rays_a, points.rays_b))
    _, rotation, translation, *_ = cv2.recoverPose(
        geometry.matrix, a, b, np.eye(3), distanceThresh=FAR
    )
    return relative_pose_error((rotation, translation[:, 0]), true).largest


def typical_count(counts: np.ndarray) -> float:
    """Geometric mean of (P,) counts plus one, minus one: no easy pair outweighs a failed one."""
    return float(np.expm1(np.log1p(counts).mean())) if len(counts) else 0.0
