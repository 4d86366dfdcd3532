"""The shapes a scene is made of: flat panels, upright frustums, a hilly patch of ground.

Each carries a rectangular texture measured in metres: first to the right, then down, as seen from
its front; its outward normal is down x right. Arguments x and y are pixels of a `RayGrid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from silk_sfm.shapes import check_shapes
from silk_sfm.synthetic.rays import RayGrid
from silk_sfm.synthetic.texture import sample

EAST, NORTH, UP = np.eye(3)
MARCH_STEPS = 28
SECANT_STEPS = 3
STEEPEST = 0.3
"""Bound on the slope of the ground: a marching ray never steps through a hill below it."""


class Shape(Protocol):
    """What a scene can hold."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the texture in metres."""

    @property
    def hull(self) -> np.ndarray:
        """(K, 3) points whose convex hull holds the shape."""

    def distance(self, rays: RayGrid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Ray parameter t of the nearest hit, infinite where there is none."""

    def locate(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points on the shape -> (N, 2) metres on its texture."""

    def place(self, uv: np.ndarray) -> np.ndarray:
        """(N, 2) metres on the texture -> (N, 3) points on the shape."""

    def axes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (N, 3) to the right and down on the texture, at (N, 3) points."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A flat rectangle, seen from both sides.

    corner: (3,) its top-left corner; right, down: (3,) orthogonal unit vectors
    cutout: None, or (H, W) float32 over the rectangle; it is solid where this is at least 0.5
    """

    corner: np.ndarray
    right: np.ndarray
    down: np.ndarray
    size: tuple[float, float]
    cutout: np.ndarray | None = None

    @property
    def hull(self) -> np.ndarray:
        """Its four corners."""
        width, height = self.size
        return self.place(np.array([[0, 0], [width, 0], [0, height], [width, height]], float))

    def distance(self, rays: RayGrid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Plane hit inside the rectangle, on a solid part."""
        normal = np.cross(self.down, self.right)
        start, speed = rays.along(normal, x, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (self.corner @ normal - start) / speed
            u, v = (self._along(axis, rays, x, y, t) for axis in (self.right, self.down))
            inside = (t > 0) & (u >= 0) & (u <= self.size[0]) & (v >= 0) & (v <= self.size[1])
        inside = np.broadcast_to(inside, np.broadcast_shapes(x.shape, y.shape))
        if self.cutout is not None and inside.any():
            inside = inside & self._is_solid(np.where(inside, u, 0), np.where(inside, v, 0))
        return np.where(inside, t, np.inf)

    def _along(
        self, axis: np.ndarray, rays: RayGrid, x: np.ndarray, y: np.ndarray, t: np.ndarray
    ) -> np.ndarray:
        start, speed = rays.along(axis, x, y)
        return np.asarray(start - self.corner @ axis + t * speed)

    def _is_solid(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        if self.cutout is None:
            return np.ones(u.shape, bool)
        height, width = self.cutout.shape
        map_x = (u * (width / self.size[0]) - 0.5).astype(np.float32)
        map_y = (v * (height / self.size[1]) - 0.5).astype(np.float32)
        sampled = cv2.remap(
            self.cutout, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(sampled.reshape(u.shape) >= 0.5)

    def locate(self, points: np.ndarray) -> np.ndarray:
        """See `Shape`."""
        return np.asarray((points - self.corner) @ np.column_stack([self.right, self.down]))

    def place(self, uv: np.ndarray) -> np.ndarray:
        """See `Shape`."""
        return np.asarray(self.corner + uv @ np.stack([self.right, self.down]))

    def axes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        return np.broadcast_to(self.right, points.shape), np.broadcast_to(self.down, points.shape)


@dataclass(frozen=True, eq=False)
class Frustum:
    """The mantle of an upright cylinder, cone or anything between.

    base: (3,) middle of its lower circle; radii: (bottom, top) in metres; height in metres
    The texture's width is measured at the wider end; its seam faces north.
    """

    base: np.ndarray
    radii: tuple[float, float]
    height: float

    @property
    def size(self) -> tuple[float, float]:
        """See `Shape`."""
        return 2 * np.pi * max(self.radii), self.height

    @property
    def hull(self) -> np.ndarray:
        """The corners of its bounding box."""
        radius = max(self.radii)
        signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (0, 1)])
        return np.asarray(self.base + signs * np.array([radius, radius, self.height]))

    def distance(self, rays: RayGrid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Nearer root of |horizontal part| = radius at that height, else the farther one."""
        (px, dx), (py, dy), (pz, dz) = (rays.along(axis, x, y) for axis in (EAST, NORTH, UP))
        px, py, pz = px - self.base[0], py - self.base[1], pz - self.base[2]
        taper = (self.radii[1] - self.radii[0]) / self.height
        radius, widening = self.radii[0] + taper * pz, taper * dz
        a = dx * dx + dy * dy - widening * widening
        b = px * dx + py * dy - radius * widening
        c = px * px + py * py - radius * radius
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(b * b - a * c)  # NaN beside the mantle
            ends = np.stack(np.broadcast_arrays((-b - root) / a, (-b + root) / a))
            z = pz + ends * dz
            hits = np.where((ends > 0) & (z >= 0) & (z <= self.height), ends, np.inf)
        return np.asarray(hits.min(axis=0))

    def locate(self, points: np.ndarray) -> np.ndarray:
        """See `Shape`."""
        offset = points - self.base
        angle = np.arctan2(offset[:, 0], -offset[:, 1]) + np.pi  # π is south
        return np.column_stack([angle * max(self.radii), self.height - offset[:, 2]])

    def place(self, uv: np.ndarray) -> np.ndarray:
        """See `Shape`."""
        angle, z = uv[:, 0] / max(self.radii) - np.pi, self.height - uv[:, 1]
        radius = np.interp(z, [0, self.height], self.radii)
        local = np.column_stack([np.sin(angle) * radius, -np.cos(angle) * radius, z])
        return np.asarray(self.base + local)

    def axes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        offset = points - self.base
        angle = np.arctan2(offset[:, 0], -offset[:, 1])
        slant = np.hypot(self.height, self.radii[0] - self.radii[1])
        outwards, fall = (self.radii[0] - self.radii[1]) / slant, -self.height / slant
        right = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(len(angle))])
        radial = np.column_stack([np.sin(angle), -np.cos(angle), np.zeros(len(angle))])
        return right, radial * outwards + np.array([0, 0, fall])


@dataclass(frozen=True, eq=False)
class Ground:
    """A square patch of hilly ground around the world's origin.

    heights: (S, S) float32 metres at the centres of cells; row 0 is north, column 0 is west
    half_side: half the side of the square in metres
    """

    heights: np.ndarray
    half_side: float

    def __post_init__(self) -> None:
        check_shapes(heights=(self.heights, "S S"))

    @property
    def size(self) -> tuple[float, float]:
        """See `Shape`."""
        return 2 * self.half_side, 2 * self.half_side

    @property
    def hull(self) -> np.ndarray:
        """The corners of its bounding box."""
        side, low, high = self.half_side, float(self.heights.min()), float(self.heights.max())
        return np.array(
            [[a, b, c] for a in (-side, side) for b in (-side, side) for c in (low, high)]
        )

    def distance(self, rays: RayGrid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """First crossing of the ground, found by safe steps, then the secant method."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        parts = [part for axis in (EAST, NORTH, UP) for part in rays.along(axis, x, y)]
        origin, direction = (
            np.stack([np.broadcast_to(p, shape).ravel() for p in parts[i::2]]) for i in (0, 1)
        )
        enter, leave = self._span(origin, direction)
        rows = np.flatnonzero(enter < leave)
        t = np.full(enter.shape, np.inf)
        t[rows] = self._march(origin[:, rows], direction[:, rows], enter[rows], leave[rows])
        return t.reshape(shape)

    def _span(self, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays (3, N) enter and leave the bounding box: two (N,) arrays."""
        low, high = self.hull[0] - [0, 0, 1e-3], self.hull[-1] + [0, 0, 1e-3]
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([(bound[:, None] - origin) / direction for bound in (low, high)])
        return np.maximum(ends.min(axis=0).max(axis=0), 0), ends.max(axis=0).min(axis=0)

    def _march(
        self, origin: np.ndarray, direction: np.ndarray, enter: np.ndarray, leave: np.ndarray
    ) -> np.ndarray:
        """Ray parameters (N,) of the hits of rays (3, N); infinite without one."""
        px, py, pz = origin.astype(np.float32)
        dx, dy, dz = direction.astype(np.float32)
        cautious = 1 / (STEEPEST * np.hypot(dx, dy) + np.abs(dz))
        t = enter.astype(np.float32)
        for _ in range(MARCH_STEPS):
            t += (pz + t * dz - self.height_at(px + t * dx, py + t * dy)) * cautious
        exact = self._secant(origin, direction, t.astype(np.float64), cautious)
        return np.where((exact > enter - 1e-6) & (exact < leave), exact, np.inf)

    def _secant(
        self, origin: np.ndarray, direction: np.ndarray, t: np.ndarray, cautious: np.ndarray
    ) -> np.ndarray:
        """Polish ray parameters (N,): the secant method, exact where the ground is flat."""
        before, above_before = t, self._above(origin, direction, t)
        t = t + above_before * cautious
        for _ in range(SECANT_STEPS):
            above = self._above(origin, direction, t)
            change, fall = t - before, above_before - above
            step = above * change / np.where(np.abs(fall) > 1e-9, fall, np.inf)
            before, above_before = t, above
            t = t + np.clip(step, -0.5, 0.5)
        return t

    def _above(self, origin: np.ndarray, direction: np.ndarray, t: np.ndarray) -> np.ndarray:
        """(N,) metres of the points at t (N,) above the ground."""
        east, north, up = origin + t * direction
        return np.asarray(up - self.height_at(east, north))

    def height_at(self, east: np.ndarray, north: np.ndarray) -> np.ndarray:
        """(N,) float32 heights of the ground at (N,) positions, in metres."""
        cells = len(self.heights) / (2 * self.half_side)
        map_x = ((east + self.half_side) * cells - 0.5).astype(np.float32)
        map_y = ((self.half_side - north) * cells - 0.5).astype(np.float32)
        return sample(self.heights, map_x, map_y)

    def locate(self, points: np.ndarray) -> np.ndarray:
        """See `Shape`."""
        return np.column_stack([points[:, 0] + self.half_side, self.half_side - points[:, 1]])

    def place(self, uv: np.ndarray) -> np.ndarray:
        """See `Shape`."""
        east, north = uv[:, 0] - self.half_side, self.half_side - uv[:, 1]
        return np.column_stack([east, north, self.height_at(east, north)])

    def axes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shape`."""
        step = 2 * self.half_side / len(self.heights)
        slopes = [
            (self.height_at(points[:, 0] + a, points[:, 1] + b) - points[:, 2]) / step
            for a, b in ((step, 0), (0, -step))
        ]
        right = np.column_stack([np.ones(len(points)), np.zeros(len(points)), slopes[0]])
        down = np.column_stack([np.zeros(len(points)), -np.ones(len(points)), slopes[1]])
        length_right, length_down = (np.linalg.norm(a, axis=1)[:, None] for a in (right, down))
        return right / length_right, down / length_down
