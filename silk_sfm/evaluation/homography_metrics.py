"""How well keypoints and matches agree with a homography, as the SiLK paper measures it.

Gleize, Wang, Feiszli, ICCV 2023, Sec. 4 and its released evaluation; the definitions of
repeatability and homography accuracy are SuperPoint's, that of MMA is D2-Net's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from silk_sfm.evaluation.neighbours import nearest_within
from silk_sfm.geometry.homography import apply_homography, corner_error, transfer_error

Size = tuple[int, int]
"""(width, height) in pixels."""


def inside(points: np.ndarray, size: Size, origin: float = 0.0) -> np.ndarray:
    """(N,) bool: origin <= x < origin + width and the same for y; False where not finite."""
    x, y = points.T
    width, height = size
    with np.errstate(invalid="ignore"):
        in_x = (x >= origin) & (x < origin + width)
        return np.asarray(in_x & (y >= origin) & (y < origin + height))


def repeatability(
    points_a: np.ndarray,
    points_b: np.ndarray,
    homography: np.ndarray,
    size: Size,
    thresholds: Sequence[float],
    origin: float = 0.0,
) -> list[float] | None:
    """Share of keypoints that were found in both images, for each threshold in pixels.

    Only points that the other image shows count. Points of image a are moved to image b; a point
    is repeated when one of the other set is within the threshold (inclusive). None when neither
    image has a shared point, 0 when one has none.

    origin: coordinate of the left and upper border; 0 in the paper, whose keypoints of pixel
        centres end in .5; ours are integers, whose border lies at -0.5
    """
    warped = apply_homography(homography, points_a)
    shared_a = warped[inside(warped, size, origin)]
    back = apply_homography(np.linalg.inv(homography), points_b)
    shared_b = points_b[inside(back, size, origin)]
    n_shared = len(shared_a) + len(shared_b)
    if n_shared == 0:
        return None
    furthest = max(thresholds)
    to_b = nearest_within(shared_a, shared_b, furthest)
    to_a = nearest_within(shared_b, shared_a, furthest)
    return [
        (np.count_nonzero(to_b <= t) + np.count_nonzero(to_a <= t)) / n_shared for t in thresholds
    ]


def matching_accuracy(
    points_a: np.ndarray,
    points_b: np.ndarray,
    homography: np.ndarray,
    thresholds: Sequence[float],
) -> list[float]:
    """Share of matches (row i of a with row i of b) within each threshold; 0 without matches."""
    if len(points_a) == 0:
        return [0.0 for _ in thresholds]
    errors = transfer_error(homography, points_a, points_b)
    return [float((errors <= threshold).mean()) for threshold in thresholds]


def corner_errors(
    estimated: Sequence[np.ndarray | None], true: Sequence[np.ndarray], sizes: Sequence[Size]
) -> np.ndarray:
    """(P,) mean error of the four corners of the first image; infinite without an estimate."""
    return np.array(
        [
            np.inf if found is None else corner_error(found, right, size)
            for found, right, size in zip(estimated, true, sizes, strict=True)
        ]
    )


def homography_accuracy(errors: np.ndarray, threshold: float) -> float:
    """Share of (P,) corner errors up to the threshold; NaN without any."""
    return float((errors <= threshold).mean()) if len(errors) else float("nan")
