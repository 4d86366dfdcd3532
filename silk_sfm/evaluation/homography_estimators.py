"""Homographies from matches, by the estimators that tables name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.geometry.homography import transfer_error

Estimator = Literal["ransac", "magsac"]
FEWEST_MATCHES = 4


@dataclass(frozen=True)
class EstimatorOptions:
    """How a homography is estimated."""

    estimator: Estimator = "ransac"
    """ransac: OpenCV's findHomography with its defaults (2,000 iterations, confidence 0.995), as in
    the SiLK paper; magsac: OpenCV's USAC_MAGSAC."""
    threshold_px: float = 3.0
    """Largest reprojection error of an inlier, in pixels of the images as evaluated."""
    max_iterations: int = 2000
    """Samples drawn at most."""
    confidence: float = 0.995
    """Stop when the best model is this certain to be found."""

    def __post_init__(self) -> None:
        if not (self.threshold_px > 0 and self.max_iterations > 0 and 0 < self.confidence < 1):
            raise ConfigError(
                "threshold_px and max_iterations must be positive, confidence between 0 and 1."
            )

    @property
    def label(self) -> str:
        """The estimator as tables name it."""
        return {"ransac": "OpenCV RANSAC", "magsac": "OpenCV MAGSAC"}[self.estimator]


def estimate_homography(
    points_a: np.ndarray, points_b: np.ndarray, options: EstimatorOptions, seed: int
) -> np.ndarray | None:
    """(3, 3) float64 homography from (M, 2) matched points; None when there is none.

    OpenCV draws its samples by a fixed seed: `seed` 0 takes the matches in their order, any other
    one shuffles them. Coordinates are float32, as OpenCV keeps them.
    """
    if len(points_a) < FEWEST_MATCHES:
        return None
    rows = np.arange(len(points_a))
    if seed:
        rows = np.random.default_rng(seed).permutation(rows)
    method = cv2.RANSAC if options.estimator == "ransac" else cv2.USAC_MAGSAC
    found, _ = cv2.findHomography(
        np.ascontiguousarray(points_a[rows], np.float32),
        np.ascontiguousarray(points_b[rows], np.float32),
        method,
        options.threshold_px,
        maxIters=options.max_iterations,
        confidence=options.confidence,
    )
    if found is None or not np.isfinite(found).all():
        return None
    return np.asarray(found, np.float64)


def count_inliers(
    homography: np.ndarray | None, points_a: np.ndarray, points_b: np.ndarray, threshold: float
) -> int:
    """How many matches agree with the homography within the threshold; 0 without one."""
    if homography is None:
        return 0
    return int((transfer_error(homography, points_a, points_b) <= threshold).sum())
