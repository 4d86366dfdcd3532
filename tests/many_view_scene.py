"""A synthetic scene seen by many cameras with known poses, for tests of mapping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silk_sfm.colmap.cameras import Camera, CameraAssignment
from silk_sfm.features import GeometryKind, Matches, TwoViewGeometry
from silk_sfm.geometry.epipolar import essential_from_pose, fundamental_from_essential
from silk_sfm.geometry.pose import RotationTranslation, relative_pose

SIZE = (800, 600)
FOCAL = 600.0
TRUE = Camera("SIMPLE_RADIAL", *SIZE, (FOCAL, 400.0, 300.0, 0.0))
GUESS = Camera("SIMPLE_RADIAL", *SIZE, (960.0, 400.0, 300.0, 0.0), "guess")
PIXEL_CAMERA = np.array([[FOCAL, 0.0, 399.5], [0.0, FOCAL, 299.5], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class ManyViewScene:
    """points: (P, 3); keypoint i of every image shows point i; pixels, centre of the first at 0."""

    points: np.ndarray
    poses: dict[str, RotationTranslation]
    keypoints: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        return list(self.poses)

    def cameras(self, camera: Camera) -> CameraAssignment:
        return CameraAssignment((camera,), dict.fromkeys(self.names, 0))

    def pairs(
        self, kind: GeometryKind, names: Sequence[str] | None = None
    ) -> Iterator[tuple[str, str, TwoViewGeometry]]:
        for a, b in combinations(names or self.names, 2):
            yield a, b, self.geometry(a, b, kind)

    def geometry(self, a: str, b: str, kind: GeometryKind) -> TwoViewGeometry:
        essential = essential_from_pose(*relative_pose(self.poses[a], self.poses[b]))
        fundamental = fundamental_from_essential(essential, PIXEL_CAMERA, PIXEL_CAMERA)
        matrix = essential if kind == "essential" else fundamental
        rows = np.arange(len(self.points), dtype=np.int32)
        matches = Matches(np.stack([rows, rows], axis=1), np.ones(len(rows), np.float32))
        return TwoViewGeometry(kind, matrix, matches, 1.0, len(rows))


def many_view_scene(
    n_images: int = 8, n_points: int = 300, noise_px: float = 0.0, seed: int = 0
) -> ManyViewScene:
    """Cameras on an arc around a box of points, looking a little beside its middle."""
    random = np.random.default_rng(seed)
    points = random.uniform(-1, 1, (n_points, 3)) * [2.0, 1.5, 1.0]
    poses, keypoints = {}, {}
    for index, angle in enumerate(np.linspace(-0.75, 0.75, n_images)):
        centre = np.array([6 * np.sin(angle), 0.5 * np.sin(4 * angle), -6 * np.cos(angle)])
        rotation = _looking(random.uniform(-0.3, 0.3, 3) - centre)
        pose = rotation, -rotation @ centre
        seen = (points @ rotation.T + pose[1]) @ PIXEL_CAMERA.T
        pixels = seen[:, :2] / seen[:, 2:] + random.normal(size=(n_points, 2)) * noise_px
        name = f"view {index:02d}.jpg"
        poses[name], keypoints[name] = pose, pixels.astype(np.float32)
    return ManyViewScene(points, poses, keypoints)


def _looking(forward: np.ndarray) -> np.ndarray:
    """Rotation of a camera whose z axis is `forward` and whose x axis is level."""
    z = forward / np.linalg.norm(forward)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])
