"""KP2D's metrics on one pair: Tang et al., Neural Outlier Rejection for Self-Supervised Keypoint
Learning, ICLR 2020, and its released evaluation.

They share names with other papers' metrics, not definitions: the best k keypoints are chosen after
those that the other image does not show are dropped, and a localization error comes with the
repeatability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silk_sfm.evaluation.homography_estimators import EstimatorOptions, estimate_homography
from silk_sfm.evaluation.homography_metrics import Size, inside
from silk_sfm.evaluation.neighbours import nearest_within
from silk_sfm.features import LocalFeatures
from silk_sfm.geometry.homography import apply_homography, corner_error

RADIUS_PX = 3.0
CORRECT_AT_PX = (1.0, 3.0, 5.0)
ESTIMATOR = EstimatorOptions("ransac", threshold_px=3.0, max_iterations=5000)


@dataclass(frozen=True)
class Kp2dMeasures:
    """repeatability: None when the images share no point
    localization_px: mean distance of repeated points; None when there are none
    correct: whether the corner error is at most 1, 3, 5 px
    matching_score: mean over both directions
    """

    repeatability: float | None
    localization_px: float | None
    correct: tuple[float, float, float]
    matching_score: float


def kp2d_measures(
    a: LocalFeatures, b: LocalFeatures, homography: np.ndarray, size: Size, k: int, seed: int
) -> Kp2dMeasures:
    """All measures of one pair; both images have `size` and `homography` maps a to b."""
    shared_a = visible(a, homography, size).best(k)
    shared_b = visible(b, np.linalg.inv(homography), size).best(k)
    repeated, localization = _repeatability(shared_a, shared_b, homography)
    return Kp2dMeasures(
        repeated,
        localization,
        _correctness(shared_a, shared_b, homography, size, seed),
        matching_score(a.best(k), b.best(k), homography, size),
    )


def visible(features: LocalFeatures, homography: np.ndarray, size: Size) -> LocalFeatures:
    """The keypoints that the other image shows: 0 <= x < width, 0 <= y < height there."""
    return features.select(inside(apply_homography(homography, features.keypoints), size))


def _repeatability(
    a: LocalFeatures, b: LocalFeatures, homography: np.ndarray
) -> tuple[float | None, float | None]:
    n_points = len(a) + len(b)
    if n_points == 0:
        return None, None
    warped = apply_homography(homography, a.keypoints)
    distances = np.concatenate(
        [
            nearest_within(warped, b.keypoints, RADIUS_PX),
            nearest_within(b.keypoints, warped, RADIUS_PX),
        ]
    )
    found = distances[np.isfinite(distances)]
    return len(found) / n_points, float(found.mean()) if len(found) else None


def _correctness(
    a: LocalFeatures, b: LocalFeatures, homography: np.ndarray, size: Size, seed: int
) -> tuple[float, float, float]:
    rows, columns = mutual_nearest_l2(a.descriptors, b.descriptors)
    estimated = estimate_homography(a.keypoints[rows], b.keypoints[columns], ESTIMATOR, seed)
    error = np.inf if estimated is None else corner_error(estimated, homography, size)
    one, three, five = (float(error <= threshold) for threshold in CORRECT_AT_PX)
    return one, three, five


def mutual_nearest_l2(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of (N, D) a and of (M, D) b that are each other's nearest, in the order of a."""
    if len(a) == 0 or len(b) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    to_b, to_a = nearest_l2(a, b), nearest_l2(b, a)
    rows = np.flatnonzero(to_a[to_b] == np.arange(len(a)))
    return rows, to_b[rows]


def nearest_l2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) index of the nearest of (M, D) b to each of (N, D) a by Euclidean distance, M > 0."""
    squares = (b.astype(np.float64) ** 2).sum(axis=1)
    return np.asarray(np.argmin(squares - 2 * (a.astype(np.float64) @ b.T), axis=1))


def matching_score(a: LocalFeatures, b: LocalFeatures, homography: np.ndarray, size: Size) -> float:
    """Share of nearest neighbours that lie within 3 px of the truth, mean of both directions."""
    inverse = np.linalg.inv(homography)
    return (_score_one_way(a, b, homography, size) + _score_one_way(b, a, inverse, size)) / 2


def _score_one_way(a: LocalFeatures, b: LocalFeatures, homography: np.ndarray, size: Size) -> float:
    """Correct nearest neighbours among those keypoints of a that b shows; 0 without any."""
    if len(a) == 0 or len(b) == 0:
        return 0.0
    nearest = b.keypoints[nearest_l2(a.descriptors, b.descriptors)]
    there = apply_homography(np.linalg.inv(homography), nearest)  # matched points, moved to a
    width, height = size
    shown = ((there >= 0) & (there <= (width - 1, height - 1))).all(axis=1)
    correct = np.linalg.norm(there - a.keypoints, axis=1) < RADIUS_PX
    n_shown = np.count_nonzero(shown)
    return float(np.count_nonzero(correct & shown) / n_shown) if n_shown else 0.0
