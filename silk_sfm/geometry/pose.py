"""Camera poses: their errors, area under the curve of errors, similarity alignment.

A pose maps the world to the camera: x_camera = R x_world + t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silk_sfm.shapes import check_shapes

RotationTranslation = tuple[np.ndarray, np.ndarray]
"""(3, 3) rotation and (3,) translation of a pose."""


@dataclass(frozen=True, eq=False)
class PairErrors:
    """Errors of the relative poses of all pairs of images.

    pairs: names, in the order of the rows
    rotation, translation: (P,) degrees; infinite when one of the images has no pose
    """

    pairs: tuple[tuple[str, str], ...]
    rotation: np.ndarray
    translation: np.ndarray

    @property
    def largest(self) -> np.ndarray:
        """(P,) degrees: the larger of both errors."""
        return np.asarray(np.maximum(self.rotation, self.translation))


def rotation_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in degrees between two (3, 3) rotations, from |a - b| = 2 sqrt(2) sin(angle / 2)."""
    half_sine = np.linalg.norm(a - b) / np.sqrt(8)
    return float(np.degrees(2 * np.arcsin(min(half_sine, 1.0))))


def direction_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in degrees between two (3,) directions; 0 when both are zero, 180 when one is."""
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if length_a == 0 or length_b == 0:
        return 0.0 if length_a == length_b else 180.0
    across, along = np.linalg.norm(np.cross(a, b)), np.dot(a, b)
    return float(np.degrees(np.arctan2(across, along)))


def relative_pose(a: RotationTranslation, b: RotationTranslation) -> RotationTranslation:
    """The pose that maps camera a to camera b: R = R_b R_a^T, t = t_b - R t_a."""
    rotation = b[0] @ a[0].T
    return rotation, b[1] - rotation @ a[1]


def pair_errors(
    estimated: Mapping[str, RotationTranslation], true: Mapping[str, RotationTranslation]
) -> PairErrors:
    """Compare the relative poses of all pairs of images in `true`, sorted by name.

    Scale and world frame do not matter. A pair with an image that is not in `estimated` has
    infinite errors.
    """
    pairs = tuple(combinations(sorted(true), 2))
    errors = np.full((len(pairs), 2), np.inf)
    for row, (a, b) in enumerate(pairs):
        if a in estimated and b in estimated:
            found = relative_pose(estimated[a], estimated[b])
            right = relative_pose(true[a], true[b])
            errors[row] = rotation_angle(found[0], right[0]), direction_angle(found[1], right[1])
    return PairErrors(pairs, errors[:, 0], errors[:, 1])


def area_under_curve(errors: np.ndarray, thresholds: Sequence[float]) -> list[float]:
    """Area below the curve of recall over error up to each threshold, divided by the threshold.

    The convention of SuperGlue and hloc: recall (i + 1) / n at the i-th sorted error, a point
    (0, 0) in front, trapezoids; the last recall below the threshold is held until it. 0 without
    errors.
    Raises ValueError for a threshold that is not positive and for errors that are NaN.
    """
    check_shapes(errors=(errors, "N"))
    if min(thresholds, default=1.0) <= 0 or np.isnan(errors).any():
        raise ValueError("Thresholds must be positive and no error NaN.")
    if len(errors) == 0:
        return [0.0 for _ in thresholds]
    ordered = np.concatenate([[0.0], np.sort(errors)])
    recall = np.arange(len(ordered)) / len(errors)
    return [_area(ordered, recall, threshold) / threshold for threshold in thresholds]


def _area(errors: np.ndarray, recall: np.ndarray, threshold: float) -> float:
    last = int(np.searchsorted(errors, threshold))
    x = np.append(errors[:last], threshold)
    y = np.append(recall[:last], recall[last - 1])
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * rotation @ x + translation; rotation (3, 3), translation (3,)."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) -> (N, 3)."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation)


def align_similarity(a: np.ndarray, b: np.ndarray) -> Similarity:
    """The similarity that maps (N, 3) points `a` onto `b` with the least squared error.

    Umeyama, PAMI 1991. Raises ValueError for fewer than three points or points on a line, which
    leave a rotation open.
    """
    check_shapes(a=(a, "N 3"), b=(b, "N 3"))
    if len(a) < 3:
        raise ValueError(f"A similarity needs at least three points, got {len(a)}.")
    centred_a, centred_b = a - a.mean(axis=0), b - b.mean(axis=0)
    left, spread, right = np.linalg.svd(centred_b.T @ centred_a / len(a))
    if spread[1] <= 1e-12 * max(spread[0], np.finfo(float).tiny):
        raise ValueError("The points lie on a line: their similarity is not unique.")
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left * signs @ right
    scale = float((spread * signs).sum() / (centred_a**2).sum(axis=1).mean())
    return Similarity(scale, rotation, b.mean(axis=0) - scale * rotation @ a.mean(axis=0))
