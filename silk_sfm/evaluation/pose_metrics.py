"""Errors of an estimated relative pose, and how many matches agree with the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silk_sfm.geometry.epipolar import essential_from_pose, homogeneous
from silk_sfm.geometry.pose import RotationTranslation, direction_angle, rotation_angle


@dataclass(frozen=True)
class PoseError:
    """Degrees between an estimated and the true relative pose; infinite when there is none."""

    rotation: float
    translation: float

    @property
    def largest(self) -> float:
        """The larger of both, which AUC is computed of."""
        return max(self.rotation, self.translation)


FAILED = PoseError(np.inf, np.inf)


def relative_pose_error(found: RotationTranslation | None, true: RotationTranslation) -> PoseError:
    """Errors as SuperGlue, LoFTR and the Image Matching Benchmark count them.

    The direction of the translation counts without its sign, which an essential matrix leaves open:
    at most 90 degrees. A translation found to be zero has no direction: that pose is none.
    """
    if found is None or not found[1].any():
        return FAILED
    direction = direction_angle(found[1], true[1])
    return PoseError(rotation_angle(found[0], true[0]), min(direction, 180 - direction))


def epipolar_distances(
    rays_a: np.ndarray, rays_b: np.ndarray, true: RotationTranslation
) -> np.ndarray:
    """(M,) squared symmetric epipolar distances of (M, 2) rays on the planes z = 1.

    As SuperGlue's and LoFTR's precision have it: the squared distances of both points to their
    epipolar lines under the true pose, added. Infinite where a line is undefined.
    """
    essential = essential_from_pose(*true)
    a, b = homogeneous(rays_a), homogeneous(rays_b)
    lines_b, lines_a = a @ essential.T, b @ essential  # (M, 3) each
    squares = (b * lines_b).sum(axis=1) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = squares / (lines_b[:, :2] ** 2).sum(axis=1)
        distances += squares / (lines_a[:, :2] ** 2).sum(axis=1)
    return np.where(np.isnan(distances), np.inf, distances)


def precision(distances: np.ndarray, threshold: float) -> float:
    """Share of the (M,) squared epipolar distances below `threshold`; 0 without matches."""
    return float((distances < threshold).mean()) if len(distances) else 0.0
