"""Robust estimators of the relative pose of two calibrated images, behind one call.

The estimator decides as much of a score as the matches do, so that every row of a table names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import cv2
import numpy as np

from silk_sfm.colmap.two_view import estimate_relative_pose
from silk_sfm.errors import ConfigError
from silk_sfm.features import Matches
from silk_sfm.geometry.pose import RotationTranslation
from silk_sfm.plugins import Correspondences
from silk_sfm.verifiers.magsac import Magsac, MagsacOptions

EstimatorName = Literal["opencv-ransac", "opencv-magsac", "magsac", "colmap", "poselib"]
"""opencv-ransac: as SuperGlue, LoFTR and SiLK measured. opencv-magsac: USAC with MAGSAC++ scores.
magsac: the verifier of silk-sfm, which refines OpenCV's MAGSAC. colmap: LO-RANSAC of pycolmap.
poselib: LO-RANSAC of PoseLib (`pip install silk-sfm[poselib]`)."""

FEWEST_MATCHES = 6
"""One more than the five that fix an essential matrix."""
FAR = 1e9
"""Largest depth of a point that votes for a pose, in baselines."""
CONFIDENCE = 0.99999
MAX_ITERATIONS = 10_000


@dataclass(frozen=True, eq=False)
class CalibratedMatches:
    """The matches of a pair with the intrinsics of both images.

    pixels_a, pixels_b: (M, 2) float64; camera_a, camera_b: (3, 3) K
    scores: (M,) float32, higher is better
    """

    pixels_a: np.ndarray
    pixels_b: np.ndarray
    camera_a: np.ndarray
    camera_b: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels_a)

    @property
    def rays_a(self) -> np.ndarray:
        """(M, 2) points on the plane z = 1 of camera a."""
        return rays(self.pixels_a, self.camera_a)

    @property
    def rays_b(self) -> np.ndarray:
        """(M, 2) points on the plane z = 1 of camera b."""
        return rays(self.pixels_b, self.camera_b)

    @property
    def focal_px(self) -> float:
        """Mean of the four focal lengths: pixels per unit of the rays."""
        return float(np.mean([camera[[0, 1], [0, 1]] for camera in (self.camera_a, self.camera_b)]))

    def shuffled(self, seed: int) -> CalibratedMatches:
        """The same matches in another order, for OpenCV has one fixed seed; seed 0 keeps it."""
        if seed == 0:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        return CalibratedMatches(
            self.pixels_a[order],
            self.pixels_b[order],
            self.camera_a,
            self.camera_b,
            self.scores[order],
        )


def rays(pixels: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(M, 2) pixels -> (M, 2) points on the plane z = 1 of the camera K."""
    y = (pixels[:, 1] - camera[1, 2]) / camera[1, 1]
    x = (pixels[:, 0] - camera[0, 2] - camera[0, 1] * y) / camera[0, 0]
    return np.stack([x, y], axis=1)


def estimate_pose(
    matches: CalibratedMatches, estimator: EstimatorName, threshold_px: float, seed: int
) -> RotationTranslation | None:
    """The pose that maps camera a to camera b, its translation without length; None without one.

    threshold_px: largest epipolar error of an inlier, in pixels of the files

    Same `seed`, same result. Raises ConfigError when PoseLib is chosen and not installed.
    """
    estimate = ESTIMATORS[estimator]
    if len(matches) < FEWEST_MATCHES:
        return None
    return estimate(matches.shuffled(seed), threshold_px, seed)


def check_installed(estimator: EstimatorName) -> None:
    """Raises ConfigError when the estimator needs a package that is not installed."""
    if estimator == "poselib":
        _poselib()


def _opencv_ransac(
    matches: CalibratedMatches, threshold_px: float, seed: int
) -> RotationTranslation | None:
    a, b = matches.rays_a, matches.rays_b
    essential, mask = cv2.findEssentialMat(
        a, b, np.eye(3), cv2.RANSAC, CONFIDENCE, threshold_px / matches.focal_px
    )
    return _best_decomposition(essential, mask, a, b)


def _opencv_magsac(
    matches: CalibratedMatches, threshold_px: float, seed: int
) -> RotationTranslation | None:
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.sampler = cv2.SAMPLING_UNIFORM
    params.isParallel = False
    params.randomGeneratorState = seed % (2**31 - 1)
    params.threshold = threshold_px / matches.focal_px
    params.confidence = CONFIDENCE
    params.maxIterations = MAX_ITERATIONS
    a, b = matches.rays_a, matches.rays_b
    essential, mask = cv2.findEssentialMat(a, b, np.eye(3), np.eye(3), None, None, params)
    return _best_decomposition(essential, mask, a, b)


def _magsac(
    matches: CalibratedMatches, threshold_px: float, seed: int
) -> RotationTranslation | None:
    options = MagsacOptions(threshold_px=threshold_px, min_inliers=FEWEST_MATCHES)
    points = Correspondences(
        matches.pixels_a, matches.pixels_b, matches.rays_a, matches.rays_b, matches.focal_px
    )
    indices = np.repeat(np.arange(len(matches), dtype=np.int32)[:, None], 2, axis=1)
    found = Magsac(options)(points, Matches(indices, matches.scores), seed)
    mask = np.zeros((len(matches), 1), np.uint8)
    mask[found.inliers.indices[:, 0]] = 1
    essential = found.matrix if found.matrix.any() else None
    return _best_decomposition(essential, mask, matches.rays_a, matches.rays_b)


def _colmap(
    matches: CalibratedMatches, threshold_px: float, seed: int
) -> RotationTranslation | None:
    return estimate_relative_pose(
        matches.pixels_a,
        matches.pixels_b,
        matches.camera_a,
        matches.camera_b,
        threshold_px,
        CONFIDENCE,
        MAX_ITERATIONS,
        seed,
    )


def _use_poselib(
    matches: CalibratedMatches, threshold_px: float, seed: int
) -> RotationTranslation | None:
    pose, info = _poselib().estimate_relative_pose(
        matches.pixels_a,
        matches.pixels_b,
        _poselib_camera(matches.camera_a),
        _poselib_camera(matches.camera_b),
        {
            "max_epipolar_error": threshold_px,
            "success_prob": CONFIDENCE,
            "max_iterations": MAX_ITERATIONS,
            "seed": seed,
        },
        {},
    )
    if info["num_inliers"] == 0:  # the pose is the identity then
        return None
    return np.asarray(pose.R), np.asarray(pose.t)


def _poselib_camera(camera: np.ndarray) -> dict[str, Any]:
    """As PoseLib takes it; the size is only stored."""
    params = [camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]]
    return {"model": "PINHOLE", "width": 1, "height": 1, "params": params}


def _poselib() -> Any:
    try:
        return import_module("poselib")
    except ImportError as error:
        raise ConfigError(
            "The estimator `poselib` needs PoseLib: pip install 'silk-sfm[poselib]'."
        ) from error


def _best_decomposition(
    essential: np.ndarray | None, mask: np.ndarray | None, a: np.ndarray, b: np.ndarray
) -> RotationTranslation | None:
    """Of all poses of the essential matrices found, the one with most inliers in front of both.

    essential: (3 k, 3), OpenCV's five-point solver may hand over several
    """
    if essential is None or mask is None or essential.shape[0] < 3:
        return None
    best: tuple[int, RotationTranslation | None] = 0, None
    for row in range(0, len(essential), 3):
        count, rotation, translation, _, _ = cv2.recoverPose(
            np.ascontiguousarray(essential[row : row + 3]),
            a,
            b,
            np.eye(3),
            distanceThresh=FAR,
            mask=mask.copy(),
        )
        if count > best[0]:
            best = count, (rotation, translation[:, 0])
    return best[1]


ESTIMATORS: dict[
    EstimatorName,
    Callable[[CalibratedMatches, float, int], RotationTranslation | None],
] = {
    "opencv-ransac": _opencv_ransac,
    "opencv-magsac": _opencv_magsac,
    "magsac": _magsac,
    "colmap": _colmap,
    "poselib": _use_poselib,
}
