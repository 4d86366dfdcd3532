"""Robust two-view geometry with OpenCV's USAC framework and MAGSAC++ scores.

OpenCV 5.0 leaves essential matrices unpolished under this score, so the winner is refined here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.features import GeometryKind, Matches, TwoViewGeometry
from silk_sfm.geometry.epipolar import fundamental_from_essential, sampson_error
from silk_sfm.geometry.homography import transfer_error
from silk_sfm.geometry.refine import refine_epipolar
from silk_sfm.plugins import About, Correspondences

log = logging.getLogger(__name__)

FEWEST_MATCHES: dict[GeometryKind, int] = {"essential": 6, "fundamental": 8, "homography": 5}
"""One more than a minimal sample: a sample alone agrees with anything."""


@dataclass(frozen=True)
class MagsacOptions:
    """When a pair of images counts as verified, and how long to try."""

    threshold_px: float = 0.6
    """Largest error of an inlier in pixels of the images as the extractor saw them: Sampson error,
    or distance in the second image for a homography."""
    confidence: float = 0.99999
    """Stop when a better geometry is less likely than 1 minus this."""
    max_iterations: int = 10_000
    """Stop after this many samples."""
    min_inliers: int = 15
    """With fewer inliers a pair counts as not verified."""
    model: Literal["auto", "essential", "fundamental", "homography"] = "auto"
    """What to estimate; auto takes the essential matrix when both focal lengths are known, else the
    fundamental matrix."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold_px < float("inf"):
            raise ConfigError(f"threshold_px must be above 0, got {self.threshold_px}.")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence must lie in (0, 1), got {self.confidence}.")
        if self.max_iterations < 1:
            raise ConfigError(f"max_iterations must be 1 or more, got {self.max_iterations}.")
        if self.min_inliers < 1:
            raise ConfigError(f"min_inliers must be 1 or more, got {self.min_inliers}.")


@dataclass(frozen=True, eq=False)
class _Points:
    """What is fitted: x_b' M x_a = 0 or x_b = M x_a.

    a, b: (M, 2) float64; unit_px: pixels per unit of a and b; threshold_px: largest error of an
    inlier in pixels of the files
    """

    kind: GeometryKind
    a: np.ndarray
    b: np.ndarray
    unit_px: float
    threshold_px: float

    def errors_px(self, matrix: np.ndarray) -> np.ndarray:
        """(M,) error of each pair in pixels; infinite where a point is not finite."""
        error = transfer_error if self.kind == "homography" else sampson_error
        with np.errstate(invalid="ignore"):
            return error(matrix, self.a, self.b) * self.unit_px

    def select(self, rows: np.ndarray) -> _Points:
        """The points at (K,) `rows`."""
        return replace(self, a=self.a[rows], b=self.b[rows])


class Magsac:
    """Keeps the matches within `threshold_px` of the best two-view geometry found."""

    about: ClassVar[About] = About(
        summary="MAGSAC++ by OpenCV: essential, fundamental matrix or homography",
        licence="Apache-2.0",
        paper="Barath et al., MAGSAC++, a Fast, Reliable and Accurate Robust Estimator, CVPR 2020",
    )
    Options = MagsacOptions

    def __init__(self, options: MagsacOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = device

    def __call__(self, points: Correspondences, matches: Matches, seed: int) -> TwoViewGeometry:
        """The geometry of one pair; no inliers when none was found. Same `seed`, same result."""
        fitted = self._points(points)
        matrix = self._estimate(fitted, matches.scores, seed)
        inliers = fitted.errors_px(matrix) <= fitted.threshold_px
        if not matrix.any() or inliers.sum() < self.options.min_inliers:
            matrix, inliers = np.zeros((3, 3)), np.zeros(len(matches), dtype=bool)
        return TwoViewGeometry(
            kind=fitted.kind,
            matrix=matrix,
            inliers=matches.select(inliers),
            threshold_px=fitted.threshold_px,
            n_tentative=len(matches),
        )

    def _points(self, points: Correspondences) -> _Points:
        model = self.options.model
        threshold = self.options.threshold_px * points.noise_px
        if points.rays_a is not None and points.rays_b is not None and model in _WITH_RAYS:
            return _Points("essential", points.rays_a, points.rays_b, points.focal_px, threshold)
        if model == "essential":
            raise ConfigError(
                "model `essential` needs the intrinsics of both cameras; use `auto` or give them."
            )
        kind: GeometryKind = "homography" if model == "homography" else "fundamental"
        return _Points(kind, points.pixels_a, points.pixels_b, 1.0, threshold)

    def _estimate(self, points: _Points, scores: np.ndarray, seed: int) -> np.ndarray:
        """(3, 3) float64 matrix; zeros when there is none."""
        best_first = np.argsort(-scores, kind="stable")  # the order that PROSAC samples in
        finite = np.isfinite(points.a).all(axis=1) & np.isfinite(points.b).all(axis=1)
        usable = points.select(best_first[finite[best_first]])
        if len(usable.a) < max(self.options.min_inliers, FEWEST_MATCHES[points.kind]):
            return np.zeros((3, 3))
        found = _search(usable, self._usac_params(usable, seed))
        if found is None:
            return np.zeros((3, 3))
        if points.kind == "homography":
            return found
        return _refined(found, usable)

    def _usac_params(self, points: _Points, seed: int) -> cv2.UsacParams:
        params = cv2.UsacParams()
        params.score = cv2.SCORE_METHOD_MAGSAC
        params.sampler = cv2.SAMPLING_PROSAC
        params.loMethod = cv2.LOCAL_OPTIM_INNER_LO
        params.isParallel = False  # in parallel the result depends on the timing of threads
        params.randomGeneratorState = seed % (2**31 - 1)
        params.threshold = points.threshold_px / points.unit_px
        params.confidence = self.options.confidence
        params.maxIterations = self.options.max_iterations
        return params


_WITH_RAYS = ("auto", "essential")


def _search(points: _Points, params: cv2.UsacParams) -> np.ndarray | None:
    """(3, 3) float64 matrix with the best score; None when OpenCV finds none."""
    a, b = np.ascontiguousarray(points.a), np.ascontiguousarray(points.b)
    try:
        if points.kind == "essential":
            matrix, _ = cv2.findEssentialMat(a, b, np.eye(3), np.eye(3), None, None, params)
        elif points.kind == "fundamental":
            matrix, _ = cv2.findFundamentalMat(a, b, params)
        else:
            matrix, _ = cv2.findHomography(a, b, params)
    except cv2.error as error:  # some versions assert on degenerate points
        log.warning("OpenCV found no %s for %d matches: %s", points.kind, len(a), error)
        return None
    usable = matrix is not None and matrix.shape == (3, 3) and np.isfinite(matrix).all()
    return np.asarray(matrix, dtype=np.float64) if usable else None


def _refined(matrix: np.ndarray, points: _Points) -> np.ndarray:
    """`refine_epipolar` in coordinates of magnitude 1, which pixels are brought to."""
    threshold = points.threshold_px / points.unit_px
    if points.kind == "essential":
        return refine_epipolar(matrix, points.a, points.b, threshold, True)
    centre_a, centre_b = points.a.mean(axis=0), points.b.mean(axis=0)
    scale = max(np.abs(points.a - centre_a).max(), np.abs(points.b - centre_b).max())
    from_a, from_b = _to_pixels(centre_a, scale), _to_pixels(centre_b, scale)
    small_a, small_b = (points.a - centre_a) / scale, (points.b - centre_b) / scale
    start = from_b.T @ matrix @ from_a
    refined = refine_epipolar(start, small_a, small_b, threshold / scale, False)
    return fundamental_from_essential(refined, from_a, from_b)


def _to_pixels(centre: np.ndarray, scale: float) -> np.ndarray:
    """(3, 3) map of shifted and scaled points back to pixels."""
    return np.array([[scale, 0.0, centre[0]], [0.0, scale, centre[1]], [0.0, 0.0, 1.0]])
