"""Synthetic pairs of views with known geometry, for tests."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm.features import Matches
from silk_sfm.geometry.epipolar import essential_from_pose, fundamental_from_essential
from silk_sfm.plugins import Correspondences

SIZE = (1280, 960)
FOCAL = 1000.0
CAMERA = np.array([[FOCAL, 0.0, 640.0], [0.0, FOCAL, 480.0], [0.0, 0.0, 1.0]])
PLANE_DEPTH = 5.0


@dataclass(frozen=True, eq=False)
class TwoViewScene:
    """pixels_a, pixels_b: (N, 2); is_true: (N,) bool, the others are outliers; exact matrices."""

    pixels_a: np.ndarray
    pixels_b: np.ndarray
    is_true: np.ndarray
    essential: np.ndarray
    fundamental: np.ndarray
    homography: np.ndarray

    def correspondences(self, with_rays: bool) -> Correspondences:
        if not with_rays:
            return Correspondences(self.pixels_a, self.pixels_b)
        rays = [(xy - CAMERA[:2, 2]) / FOCAL for xy in (self.pixels_a, self.pixels_b)]
        return Correspondences(self.pixels_a, self.pixels_b, *rays, focal_px=FOCAL)

    def matches(self) -> Matches:
        rows = np.arange(len(self.is_true), dtype=np.int32)
        return Matches(np.stack([rows, rows], axis=1), np.ones(len(rows), np.float32))


def two_view_scene(
    n_points: int = 400,
    outliers: float = 0.5,
    noise_px: float = 0.5,
    is_planar: bool = False,
    seed: int = 0,
) -> TwoViewScene:
    """Points in front of two cameras; a share of `outliers` is replaced by random positions."""
    random = np.random.default_rng(seed)
    rotation = cv2.Rodrigues(random.uniform(-0.15, 0.15, 3))[0]
    translation = np.array([0.9, 0.3, 0.2])
    pixels_a = random.uniform(0, SIZE, (n_points, 2))
    depth = np.full(n_points, PLANE_DEPTH) if is_planar else random.uniform(4, 12, n_points)
    rays = np.column_stack([(pixels_a - CAMERA[:2, 2]) / FOCAL, np.ones(n_points)])
    seen = (depth[:, None] * rays @ rotation.T + translation) @ CAMERA.T
    pixels_b = seen[:, :2] / seen[:, 2:]
    is_true = np.arange(n_points) >= round(outliers * n_points)
    pixels_b[~is_true] = random.uniform(0, SIZE, ((~is_true).sum(), 2))
    pixels_a += random.normal(scale=noise_px, size=pixels_a.shape)
    pixels_b += random.normal(scale=noise_px, size=pixels_b.shape)
    order = random.permutation(n_points)
    essential = essential_from_pose(rotation, translation)
    towards = rotation + np.outer(translation, [0.0, 0.0, 1.0]) / PLANE_DEPTH
    return TwoViewScene(
        pixels_a[order],
        pixels_b[order],
        is_true[order],
        essential,
        fundamental_from_essential(essential, CAMERA, CAMERA),
        CAMERA @ towards @ np.linalg.inv(CAMERA),
    )
