"""Grids of rays, one for each pixel, that primitives are intersected with.

Origin and direction of a ray are linear in its pixel (x, y), for pinhole and parallel cameras
alike, so a dot product over the whole grid is the sum of a row and a column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silk_sfm.shapes import check_shapes
from silk_sfm.synthetic.views import PinholeView

NEAR = 0.05
"""Points closer than this to the camera, in metres, have no place in the image."""


@dataclass(frozen=True, eq=False)
class RayGrid:
    """The rays of a camera; a point of the ray of pixel (x, y) is origin + t direction.

    size: (width, height) in pixels
    origin, direction: (3, 3) float64; rows: constant, change per x, change per y
    projection: (3, 4) float64, world -> homogeneous pixels
    """

    size: tuple[int, int]
    origin: np.ndarray
    direction: np.ndarray
    projection: np.ndarray

    def __post_init__(self) -> None:
        check_shapes(
            origin=(self.origin, "3 3"),
            direction=(self.direction, "3 3"),
            projection=(self.projection, "3 4"),
        )

    def along(
        self, axis: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Components of origin and direction along `axis` (3,), for pixels x and y (broadcast)."""
        o, d = self.origin @ axis, self.direction @ axis
        return o[0] + o[1] * x + o[2] * y, d[0] + d[1] * x + d[2] * y

    def points(self, x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """(N, 3) points at t (N,) on the rays of the pixels x, y (N,)."""
        pixels = np.column_stack([np.ones(len(x)), x, y])
        return np.asarray(pixels @ self.origin + (pixels @ self.direction) * t[:, None])

    def box(self, hull: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns that may see the convex hull of (K, 3) points; all when it is near."""
        width, height = self.size
        pixels = np.column_stack([hull, np.ones(len(hull))]) @ self.projection.T
        if (pixels[:, 2] < NEAR).all():
            return slice(0, 0), slice(0, 0)
        if (pixels[:, 2] < NEAR).any():
            return slice(0, height), slice(0, width)
        xy = pixels[:, :2] / pixels[:, 2:]
        low = np.clip(np.floor(xy.min(axis=0)), 0, [width, height]).astype(int)
        high = np.clip(np.ceil(xy.max(axis=0)) + 1, 0, [width, height]).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])


def pinhole_rays(view: PinholeView) -> RayGrid:
    """Rays of a camera; t is the depth along its optical axis."""
    cx, cy = view.principal
    right, down, forward = view.rotation
    constant = forward - (cx * right + cy * down) / view.focal_px
    return RayGrid(
        size=(view.width, view.height),
        origin=np.stack([view.centre, np.zeros(3), np.zeros(3)]),
        direction=np.stack([constant, right / view.focal_px, down / view.focal_px]),
        projection=view.intrinsics @ np.column_stack([view.rotation, view.translation]),
    )


def parallel_rays(towards_light: np.ndarray, radius: float, n_pixels: int) -> RayGrid:
    """Rays that fall from a far light on the ball of `radius` metres around the world's origin."""
    light = towards_light / np.linalg.norm(towards_light)
    right = np.cross(light, [0.0, 1.0, 0.0] if abs(light[2]) > 0.9 else [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(right, light)
    metres = 2 * radius / n_pixels
    middle = (n_pixels - 1) / 2
    start = light * 4 * radius - middle * metres * (right + down)
    rows = np.stack([right / metres, down / metres, np.zeros(3)])
    return RayGrid(
        size=(n_pixels, n_pixels),
        origin=np.stack([start, right * metres, down * metres]),
        direction=np.stack([-light, np.zeros(3), np.zeros(3)]),
        projection=np.column_stack([rows, [middle, middle, 1.0]]),
    )
