"""Pinhole cameras with known intrinsics and poses; world axes: x east, y north, z up, in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from silk_sfm.pixels import PixelGrid
from silk_sfm.shapes import check_dtypes, check_shapes

FOCAL_PER_WIDTH = 0.9
"""Focal length of the demo cameras in image widths: a horizontal field of view of 58 degrees."""


@dataclass(frozen=True, eq=False)
class PinholeView:
    """One camera: where it stands and how it projects.

    name: file name of its photo; width, height: image size in pixels
    focal_px: focal length in pixels, the same in x and y
    principal: (cx, cy) pixels, (0, 0) is the centre of the top-left pixel
    rotation: (3, 3) float64 and translation: (3,) float64, x_camera = R x_world + t; the camera
        looks along its +z, its +y points down
    """

    name: str
    width: int
    height: int
    focal_px: float
    principal: tuple[float, float]
    rotation: np.ndarray
    translation: np.ndarray

    def __post_init__(self) -> None:
        check_shapes(rotation=(self.rotation, "3 3"), translation=(self.translation, "3"))
        check_dtypes(
            rotation=(self.rotation, np.float64), translation=(self.translation, np.float64)
        )

    @property
    def centre(self) -> np.ndarray:
        """(3,) position of the camera in the world."""
        return np.asarray(-self.rotation.T @ self.translation)

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) calibration matrix K."""
        cx, cy = self.principal
        return np.array([[self.focal_px, 0, cx], [0, self.focal_px, cy], [0, 0, 1]])

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) world points in front of the camera -> (N, 2) pixels, float64."""
        in_camera = points @ self.rotation.T + self.translation
        return np.asarray(
            self.focal_px * in_camera[:, :2] / in_camera[:, 2:] + np.array(self.principal)
        )

    def unproject(self, xy: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(N, 2) pixels with (N,) depths along the optical axis -> (N, 3) world points."""
        rays = np.column_stack([(xy - np.array(self.principal)) / self.focal_px, np.ones(len(xy))])
        return np.asarray((rays * depth[:, None] - self.translation) @ self.rotation)

    def enlarged(self, factor: int) -> PinholeView:
        """The same camera with `factor` times as many pixels in each direction."""
        size = (self.width * factor, self.height * factor)
        grid = PixelGrid(raw_size=(self.width, self.height), input_size=size)
        cx, cy = grid.to_input(np.array([self.principal], np.float64))[0]
        return replace(
            self,
            width=size[0],
            height=size[1],
            focal_px=self.focal_px * factor,
            principal=(float(cx), float(cy)),
        )


def look_at(centre: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and translation (3,) of an upright camera at `centre` that sees `target`."""
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return rotation, -rotation @ centre


def demo_views(n: int = 16, size: tuple[int, int] = (640, 480), seed: int = 0) -> list[PinholeView]:
    """`n` cameras on an arc around the demo village, by turns low and high.

    `size` is (width, height) in pixels. Neighbours at one height are about ten degrees apart.
    """
    rng = np.random.default_rng(seed)
    arc = np.deg2rad(min(5.2 * max(n - 1, 0), 330.0))
    azimuths = np.linspace(-arc / 2, arc / 2, n) + np.deg2rad(rng.uniform(-0.8, 0.8, n))
    return [_demo_view(i, azimuth, size, rng) for i, azimuth in enumerate(azimuths)]


def _demo_view(
    index: int, azimuth: float, size: tuple[int, int], rng: np.random.Generator
) -> PinholeView:
    """A camera south of the village, turned by `azimuth` (radians) around its middle."""
    radius, height = (15.2, 2.3) if index % 2 == 0 else (16.8, 6.2)
    radius, height = radius + rng.uniform(-0.5, 0.5), height + rng.uniform(-0.3, 0.3)
    centre = np.array([np.sin(azimuth) * radius, -np.cos(azimuth) * radius, height])
    target = np.array([0.0, 0.8, 2.7]) + rng.uniform(-0.25, 0.25, 3)
    rotation, translation = look_at(centre, target)
    return PinholeView(
        name=f"view_{index:02d}.jpg",
        width=size[0],
        height=size[1],
        focal_px=FOCAL_PER_WIDTH * size[0],
        principal=((size[0] - 1) / 2, (size[1] - 1) / 2),
        rotation=rotation,
        translation=translation,
    )
