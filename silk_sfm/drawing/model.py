"""A picture of a model: its points and its cameras, seen from behind and above the cameras."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm.drawing.canvas import draw_line, draw_text
from silk_sfm.shapes import check_shapes

PAPER = (17, 20, 26)
INK = (220, 224, 230)
CAMERA = (255, 170, 60)
FACE_SHARE = 0.2
"""How much the face of a camera covers what is behind it."""
SUPERSAMPLING = 2
REACH = 2.2
"""Points farther from the median than so many median distances do not decide the view."""
FADE_END = 1.6
"""Beyond the reach points fade; at so many times the reach they are gone."""
GAMMA = 0.5
"""Below 1: dark colours are shown brighter than they are."""
COVERED_SHARE = 0.22
"""Points at the median depth are as large as makes all cover this share of the picture, ..."""
SMALLEST_DOT, LARGEST_DOT = 1.5, 3.2
"""... within these radii, in pixels of the supersampled picture."""
DOT_RADII = (1.5, 2.3, 3.2, 4.2)
"""Radii that are drawn."""
RAISED_DEGREES = 23
FIELD_OF_VIEW = 24
"""Degrees, of the width; small, lest near cameras dwarf the points."""
MARGIN = 0.95
FRUSTUM = np.array(
    [(0, 0, 0), (-0.8, -0.6, 1.2), (0.8, -0.6, 1.2), (0.8, 0.6, 1.2), (-0.8, 0.6, 1.2)]
)
"""Apex and face of a camera, in its own axes."""


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
    turned: float = 0.0,
    raised: float = RAISED_DEGREES,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB picture of a sparse model.

    points: (P, 3); colours: (P, 3) uint8 RGB; centres: (C, 3) camera positions;
    rotations: (C, 3, 3) world to camera; size: (width, height) of the picture
    turned: degrees around the vertical from where the cameras look, to the left as seen from above
    raised: degrees that the view looks down, below 90
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
        presence = _presence(points)
        inner = points[presence == 1]
        frusta = centres[:, None] + _frustum_size(inner, centres) * FRUSTUM @ rotations
        everything = np.concatenate([inner, frusta.reshape(-1, 3)])
        eye = _choose_eye(everything, rotations, fine, np.radians([turned, raised]))
        _draw_points(canvas, points, _shown_colours(colours, presence), eye)
        canvas = _draw_cameras(canvas, frusta, eye)
    picture = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    draw_text(picture, f"{len(centres)} cameras, {len(points)} points", (16, size[1] - 16), INK)
    return np.asarray(picture)


def _presence(points: np.ndarray) -> np.ndarray:
    """(P,) 1 for the points around the median, less for those farther out, 0 for outliers."""
    if len(points) == 0:
        return np.zeros(0)
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    reach = max(REACH * float(np.median(distance)), 1e-12)
    return np.asarray(np.clip((FADE_END - distance / reach) / (FADE_END - 1), 0, 1))


def _shown_colours(colours: np.ndarray, presence: np.ndarray) -> np.ndarray:
    """(P, 3) uint8: dark colours in their hue but brighter, faint points close to the paper."""
    value = np.maximum(colours.max(axis=1, keepdims=True, initial=0), 1) / 255
    bright = colours * value ** (GAMMA - 1)
    shown = PAPER + (bright - PAPER) * presence[:, None]
    return np.asarray(np.rint(shown), np.uint8)


def _frustum_size(points: np.ndarray, centres: np.ndarray) -> float:
    """Cameras are drawn large enough to be seen, small enough not to overlap."""
    everything = np.concatenate([points, centres])
    extent = float(np.linalg.norm(np.ptp(everything, axis=0))) or 1.0
    if len(centres) < 2:
        return 0.024 * extent
    some = centres[:: max(1, len(centres) // 200)]
    gaps = np.linalg.norm(some[:, None] - centres, axis=2)  # (S, C)
    nearest = np.partition(gaps, 1, axis=1)[:, 1]  # 0 is the camera itself
    return float(np.clip(0.27 * np.median(nearest), 0.005 * extent, 0.024 * extent))


def _choose_eye(
    shown: np.ndarray, rotations: np.ndarray, size: tuple[int, int], angles: np.ndarray
) -> _Eye:
    """Look about where the cameras look, from behind and above, so that all of `shown` fits.

    angles: (2,) radians by which the view is turned to the left, and looks down
    """
    turn, fall = angles
    up = _unit(-rotations[:, 1].mean(axis=0), np.array([0.0, -1.0, 0.0]))
    ahead = rotations[:, 2].mean(axis=0)
    ahead = _unit(ahead - (ahead @ up) * up, _any_across(up))
    ahead = np.cos(turn) * ahead + np.sin(turn) * np.cross(up, ahead)
    forward = np.cos(fall) * ahead - np.sin(fall) * up
    right = np.cross(ahead, up)
    return _fit(shown, np.stack([right, np.cross(forward, right), forward]), size)


def _fit(shown: np.ndarray, rotation: np.ndarray, size: tuple[int, int]) -> _Eye:
    """The nearest position from which all of `shown` (N, 3) lies inside the picture."""
    width, height = size
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    seen = shown @ rotation.T
    slopes = np.array([width, height]) * MARGIN / 2 / focal
    # Inside: |x - x0| <= slope (z - z0). Both sides of each axis give the apex (x0, z0) of a wedge.
    highest = (seen[:, :2] - slopes * seen[:, 2:]).max(axis=0)
    lowest = (seen[:, :2] + slopes * seen[:, 2:]).min(axis=0)
    middle = (highest + lowest) / 2
    depth = ((lowest - highest) / (2 * slopes)).min()
    position = np.array([*middle, depth])
    return _Eye(rotation, rotation.T @ position, float(focal), np.divide(size, 2))


def _draw_points(canvas: np.ndarray, points: np.ndarray, colours: np.ndarray, eye: _Eye) -> None:
    """Discs, the far ones first; near ones are larger."""
    xy, depth = eye.project(points)
    height, width = canvas.shape[:2]
    seen = (depth > 1e-6) & (xy > -1).all(axis=1) & (xy < [width, height]).all(axis=1)
    if not seen.any():
        return
    order = np.flatnonzero(seen)[np.argsort(-depth[seen], kind="stable")]
    cells, depth, colours = np.rint(xy[order]).astype(int), depth[order], colours[order]
    covering = np.sqrt(COVERED_SHARE * width * height / (np.pi * len(order)))
    wanted = np.clip(covering, SMALLEST_DOT, LARGEST_DOT) * np.median(depth) / depth
    nearest = np.abs(wanted[:, None] - DOT_RADII).argmin(axis=1)
    for index, radius in enumerate(DOT_RADII):  # rising, as `wanted` is
        rows = nearest == index
        for shift in _disc(radius):
            x, y = (cells[rows] + shift).T
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            canvas[y[inside], x[inside]] = colours[rows][inside]


def _disc(radius: float) -> np.ndarray:
    """(K, 2) whole offsets within `radius`."""
    steps = np.arange(-int(radius), int(radius) + 1)
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.asarray(offsets[np.linalg.norm(offsets, axis=1) <= radius])


def _draw_cameras(canvas: np.ndarray, frusta: np.ndarray, eye: _Eye) -> np.ndarray:
    """The picture with (C, 5, 3) frusta."""
    xy = eye.project(frusta.reshape(-1, 3))[0].reshape(-1, 5, 2)
    faces = canvas.copy()
    for face in np.rint(xy[:, 1:]).astype(np.int32):
        cv2.fillConvexPoly(faces, face, CAMERA, cv2.LINE_AA)
    drawn = cv2.addWeighted(faces, FACE_SHARE, canvas, 1 - FACE_SHARE, 0)
    for apex, *corners in xy:
        for corner, following in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            draw_line(drawn, apex, corner, CAMERA, SUPERSAMPLING)
            draw_line(drawn, corner, following, CAMERA, SUPERSAMPLING)
    return np.asarray(drawn)


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-9 else otherwise


def _any_across(vector: np.ndarray) -> np.ndarray:
    """A direction at right angles to `vector`."""
    axis = np.eye(3)[np.abs(vector).argmin()]
    across = np.cross(vector, axis)
    return np.asarray(across / np.linalg.norm(across))
