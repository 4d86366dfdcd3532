"""Pairs of images with known intrinsics and relative pose, whatever file they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.geometry.pose import RotationTranslation

MAX_SKEW_OF_ROTATION = 0.01
"""How far R R^T may be from I: published files are rounded to five digits."""


@dataclass(frozen=True, eq=False)
class PosePair:
    """Two images of one scene.

    a, b: names relative to the image folder
    camera_a, camera_b: (3, 3) float64 K, pixels of an image of size `camera_size`
    pose: rotation (3, 3) and translation (3,) that map camera a to camera b
    scene: what the pair belongs to
    where: file and line, for messages
    camera_size: (width, height) that the intrinsics count, None for that of the files
    """

    a: str
    b: str
    camera_a: np.ndarray
    camera_b: np.ndarray
    pose: RotationTranslation
    scene: str
    where: str
    camera_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, camera in ((self.a, self.camera_a), (self.b, self.camera_b)):
            check_camera(camera, name, self.where)
        check_pose(self.pose, self.where)
        if self.a == self.b:
            raise DatasetError(f"{self.where}: `{self.a}` is paired with itself.")

    def cameras(
        self, size_a: tuple[int, int], size_b: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """K of both images in pixels of files of (width, height) `size_a` and `size_b`."""
        return self._scaled(self.camera_a, size_a), self._scaled(self.camera_b, size_b)

    def _scaled(self, camera: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Without the half pixel of `pixels.py`: published intrinsics were shrunk like this."""
        if self.camera_size is None:
            return camera
        factors = np.append(np.divide(size, self.camera_size), 1.0)
        return np.asarray(camera * factors[:, None])


def check_camera(camera: np.ndarray, name: str, where: str) -> None:
    """Raises DatasetError unless `camera` is a (3, 3) calibration matrix."""
    if not np.isfinite(camera).all():
        raise DatasetError(f"{where}: the intrinsics of `{name}` are not finite.")
    is_triangular = camera.shape == (3, 3) and not camera[[1, 2, 2], [0, 0, 1]].any()
    if not is_triangular or camera[2, 2] != 1 or min(camera[0, 0], camera[1, 1]) <= 0:
        raise DatasetError(
            f"{where}: the intrinsics of `{name}` are no matrix [fx s cx; 0 fy cy; 0 0 1]."
        )


def check_pose(pose: RotationTranslation, where: str) -> None:
    """Raises DatasetError unless `pose` is a finite rotation and translation."""
    rotation, translation = pose
    if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
        raise DatasetError(f"{where}: the pose is not finite.")
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > MAX_SKEW_OF_ROTATION or np.linalg.det(rotation) < 0:
        raise DatasetError(f"{where}: the rotation of the pose is no rotation matrix.")


def check_images(pairs: Iterable[PosePair], root: Path) -> None:
    """Raises DatasetError for the first pair that names a file which is missing or no image."""
    seen: set[str] = set()
    for pair in pairs:
        for name in (pair.a, pair.b):
            if name not in seen and not (root / name).is_file():
                raise DatasetError(
                    f"{pair.where}: no image {root / name}. Names in the list are relative to "
                    "the folder of the data."
                )
            seen.add(name)
