"""A picture of a model: its points and its cameras, seen from behind and above the cameras."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm.drawing.canvas import as_colour, draw_line, draw_text
from silk_sfm.shapes import check_shapes

PAPER = (17, 20, 26)
INK = (220, 224, 230)
CAMERA = np.array([255, 170, 60])
SUPERSAMPLING = 2
FAR_OUT = 4.0
"""Points farther from the median than this many median distances do not decide the view."""
CROWD = 3
"""Nor do those with fewer points, themselves included, in a cell of 1/6 of that distance."""
KEPT_PERCENT = 99.95
"""Share of the other points that lies inside each edge of the picture."""
COVERED_SHARE = 0.22
"""Points are drawn as large as makes them cover this share of the picture, within limits."""
SMALLEST_DOT, LARGEST_DOT = 1.5, 4.2
"""Radius of a point in pixels of the supersampled picture."""
RAISED_DEGREES = 24
FIELD_OF_VIEW = 40
MARGIN = 0.9
FRUSTUM = np.array([(-0.8, -0.6, 1.2), (0.8, -0.6, 1.2), (0.8, 0.6, 1.2), (-0.8, 0.6, 1.2)])


@dataclass(frozen=True, eq=False)
class _Eye:
    """Where the picture is taken from: rotation (3, 3) world to eye, position (3,), focal in px."""

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    middle: np.ndarray

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) -> (N, 2) pixels of the picture and (N,) depths."""
        seen = (points - self.position) @ self.rotation.T
        depth = np.maximum(seen[:, 2], 1e-9)
        return seen[:, :2] / depth[:, None] * self.focal + self.middle, seen[:, 2]


def draw_model(
    points: np.ndarray,
    colours: np.ndarray,
    centres: np.ndarray,
    rotations: np.ndarray,
    size: tuple[int, int] = (1280, 720),
) -> np.ndarray:
    """(H, W, 3) uint8 RGB picture of a sparse model.

    points: (P, 3); colours: (P, 3) uint8 RGB; centres: (C, 3) camera positions;
    rotations: (C, 3, 3) world to camera; size: (width, height) of the picture
    """
    check_shapes(
        points=(points, "P 3"),
        colours=(colours, "P 3"),
        centres=(centres, "C 3"),
        rotations=(rotations, "C 3 3"),
    )
    fine = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    canvas = np.full((fine[1], fine[0], 3), PAPER, np.uint8)
    if len(centres):
        inner = points[_inner(points)]
        frustum = _frustum_size(inner, centres)
        pyramids = _pyramids(centres, rotations, frustum)
        eye = _choose_eye(inner, pyramids, rotations, fine)
        _draw_points(canvas, points, colours, eye)
        for pyramid in pyramids:
            _draw_camera(canvas, pyramid, eye)
    picture = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    draw_text(picture, f"{len(centres)} cameras, {len(points)} points", (16, size[1] - 16), INK)
    return np.asarray(picture)


def _inner(points: np.ndarray) -> np.ndarray:
    """(P,) bool: the points that are not far outliers."""
    if len(points) == 0:
        return np.zeros(0, bool)
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    cells = np.floor((points - points.min(axis=0)) / (np.median(distance) / 6 + 1e-12))
    _, cell, crowd = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    inner = (distance <= FAR_OUT * np.median(distance)) & (crowd[cell.ravel()] >= CROWD)
    return inner if inner.any() else np.ones(len(points), bool)


def _frustum_size(points: np.ndarray, centres: np.ndarray) -> float:
    """Cameras are drawn large enough to be seen, small enough not to overlap."""
    everything = np.concatenate([points, centres])
    extent = float(np.linalg.norm(np.ptp(everything, axis=0)))
    if len(centres) < 2:
        return 0.04 * extent
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    nearest = np.where(np.eye(len(centres), dtype=bool), np.inf, gaps).min(axis=1)
    return float(np.clip(0.45 * np.median(nearest), 0.008 * extent, 0.04 * extent))


def _pyramids(centres: np.ndarray, rotations: np.ndarray, scale: float) -> np.ndarray:
    """(C, 5, 3): the apex and the four corners of each camera's pyramid."""
    corners = scale * FRUSTUM @ rotations  # (C, 4, 3)
    return np.concatenate([centres[:, None], centres[:, None] + corners], axis=1)


def _choose_eye(
    points: np.ndarray, pyramids: np.ndarray, rotations: np.ndarray, size: tuple[int, int]
) -> _Eye:
    """Look where the cameras look, from behind them and from above, so that everything fits."""
    up = -rotations[:, 1].mean(axis=0)
    forward = rotations[:, 2].mean(axis=0)
    up = _unit(up, np.array([0.0, -1.0, 0.0]))
    forward = _unit(forward - (forward @ up) * up, _any_across(up))
    lowered = np.radians(RAISED_DEGREES)
    forward = np.cos(lowered) * forward - np.sin(lowered) * up
    right = _unit(np.cross(forward, up), _any_across(forward))
    rotation = np.stack([right, np.cross(forward, right), forward])
    return _fit(points, pyramids.reshape(-1, 3), rotation, size)


def _fit(
    points: np.ndarray, corners: np.ndarray, rotation: np.ndarray, size: tuple[int, int]
) -> _Eye:
    """The nearest position that sees all `corners` and nearly all `points`, (N, 3) each."""
    width, height = size
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    slopes = np.array([width, height]) * MARGIN / 2 / focal
    # Inside: |x - x0| <= slope (z - z0). Both sides of each axis give the apex (x0, z0) of a wedge.
    edges = [_wedge_edges(corners @ rotation.T, slopes, 100.0)]
    if len(points):
        edges.append(_wedge_edges(points @ rotation.T, slopes, KEPT_PERCENT))
    highest = np.max([high for high, _ in edges], axis=0)
    lowest = np.min([low for _, low in edges], axis=0)
    middle = (highest + lowest) / 2
    depth = ((lowest - highest) / (2 * slopes)).min()
    position = np.array([*middle, depth])
    return _Eye(rotation, rotation.T @ position, float(focal), np.divide(size, 2))


def _wedge_edges(
    seen: np.ndarray, slopes: np.ndarray, percent: float
) -> tuple[np.ndarray, np.ndarray]:
    """(2,) bounds of x - slope z and of x + slope z that `percent` of (N, 3) `seen` keep."""
    highest = np.percentile(seen[:, :2] - slopes * seen[:, 2:], percent, axis=0)
    lowest = np.percentile(seen[:, :2] + slopes * seen[:, 2:], 100 - percent, axis=0)
    return highest, lowest


def _draw_points(canvas: np.ndarray, points: np.ndarray, colours: np.ndarray, eye: _Eye) -> None:
    """Small discs, the far ones first."""
    xy, depth = eye.project(points)
    height, width = canvas.shape[:2]
    radius = _dot_radius(len(points), width * height)
    order = np.argsort(-depth, kind="stable")
    reachable = (depth > 1e-6) & (np.abs(xy - eye.middle) < [width, height]).all(axis=1)
    order = order[reachable[order]]
    cells = np.rint(xy[order]).astype(int)
    reach = int(radius)
    for shift_x in range(-reach, reach + 1):
        for shift_y in range(-reach, reach + 1):
            if np.hypot(shift_x, shift_y) <= radius:
                x, y = cells[:, 0] + shift_x, cells[:, 1] + shift_y
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                canvas[y[inside], x[inside]] = colours[order[inside]]


def _dot_radius(n_points: int, area: int) -> float:
    """Radius in pixels with which the points would cover a share of the picture."""
    wanted = np.sqrt(COVERED_SHARE * area / (np.pi * max(n_points, 1)))
    return float(np.clip(wanted, SMALLEST_DOT, LARGEST_DOT))


def _draw_camera(canvas: np.ndarray, pyramid: np.ndarray, eye: _Eye) -> None:
    xy, depth = eye.project(pyramid)
    if depth.min() <= 0:
        return
    colour = as_colour(CAMERA)
    face = canvas.copy()
    cv2.fillConvexPoly(face, np.rint(xy[1:]).astype(np.int32), colour, cv2.LINE_AA)
    cv2.addWeighted(face, 0.25, canvas, 0.75, 0, dst=canvas)
    for corner, following in zip(xy[1:], np.roll(xy[1:], -1, axis=0), strict=True):
        draw_line(canvas, xy[0], corner, colour, SUPERSAMPLING)
        draw_line(canvas, corner, following, colour, SUPERSAMPLING)


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else otherwise


def _any_across(vector: np.ndarray) -> np.ndarray:
    """A direction at right angles to `vector`."""
    axis = np.eye(3)[np.abs(vector).argmin()]
    across = np.cross(vector, axis)
    return np.asarray(across / np.linalg.norm(across))
