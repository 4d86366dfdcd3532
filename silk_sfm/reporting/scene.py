"""The model for the page's 3D view: fewer points, quantised, and where to look from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silk_sfm.colmap.cameras import Camera, mean_focal
from silk_sfm.colmap.model import Model

MOST_POINTS = 60_000
FAR = 20.0
"""Points farther from the median than so many median distances are not shown."""
INNER = 2.5
"""Points within so many median distances decide the view."""
GAMMA = 0.6
"""Below 1: dark colours are shown brighter than they are."""
STEPS = 65_535
WIDEST = 1.5
"""Half the width of a camera's face at distance 1 is at most that, however wide its lens."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What the 3D view draws; world axes as in the model.

    steps: (P, 3) uint16, point = origin + steps / 65535 * extent; colours: (P, 3) uint8 RGB
    origin, extent: (3,) float64
    n_hidden: points that are not shown, because there are too many or they are far away
    cameras: (C, 14) float32: centre (3), rotation world to camera by rows (9), half the width and
        half the height of the face at distance 1
    frustum: how deep cameras are drawn; up, ahead: (3,) unit vectors at right angles; target: (3,)
        middle of the view; radius: of what should be seen around it
    """

    steps: np.ndarray
    colours: np.ndarray
    origin: np.ndarray
    extent: np.ndarray
    n_hidden: int
    cameras: np.ndarray
    frustum: float
    up: np.ndarray
    ahead: np.ndarray
    target: np.ndarray
    radius: float


def make_scene(model: Model, most_points: int = MOST_POINTS) -> Scene:
    """The scene of a model with at least one camera; the same model gives the same scene."""
    points = model.points
    rows = chosen_points(points.xyz, most_points)
    xyz = points.xyz[rows]
    origin = xyz.min(axis=0) if len(xyz) else np.zeros(3)
    extent = np.maximum(np.ptp(xyz, axis=0), 1e-12) if len(xyz) else np.ones(3)
    centres = np.array([pose.centre for pose in model.poses.values()])
    target, radius = _middle(points.xyz, centres)
    up, ahead = _directions(np.array([pose.rotation for pose in model.poses.values()]))
    return Scene(
        steps=np.rint((xyz - origin) / extent * STEPS).astype(np.uint16),
        colours=_brightened(points.colours[rows]),
        origin=origin,
        extent=extent,
        n_hidden=len(points) - len(rows),
        cameras=_cameras(model),
        frustum=_frustum(centres, radius),
        up=up,
        ahead=ahead,
        target=target,
        radius=radius,
    )


def chosen_points(xyz: np.ndarray, most: int) -> np.ndarray:
    """Rows of at most `most` of (P, 3) points, evenly, without those far away from all others."""
    near = np.flatnonzero(_distances(xyz) <= FAR)
    if len(near) <= most:
        return near
    return np.asarray(near[np.linspace(0, len(near) - 1, most).astype(int)])


def _distances(xyz: np.ndarray) -> np.ndarray:
    """(P,) distances from the median of the points, in units of their median."""
    if len(xyz) == 0:
        return np.zeros(0)
    distance = np.linalg.norm(xyz - np.median(xyz, axis=0), axis=1)
    return np.asarray(distance / max(float(np.median(distance)), 1e-12))


def _middle(xyz: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Where to look, and the radius around it that holds the cameras and most of the points."""
    inner = np.concatenate([xyz[_distances(xyz) <= INNER], centres])
    low, high = np.percentile(inner, [2, 98], axis=0)
    low, high = np.minimum(low, centres.min(axis=0)), np.maximum(high, centres.max(axis=0))
    return (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-9)


def _directions(rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Up, and where the cameras look on average, level; unit vectors."""
    up = _unit(-rotations[:, 1].mean(axis=0), np.array([0.0, -1.0, 0.0]))
    ahead = rotations[:, 2].mean(axis=0)
    across = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    return up, _unit(ahead - (ahead @ up) * up, _unit(across, across))


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else otherwise


def _brightened(colours: np.ndarray) -> np.ndarray:
    """(P, 3) uint8 in the same hues, on a dark ground."""
    value = np.maximum(colours.max(axis=1, keepdims=True, initial=0), 1) / 255
    return np.asarray(np.rint(np.minimum(colours * value ** (GAMMA - 1), 255)), np.uint8)


def _cameras(model: Model) -> np.ndarray:
    rows = [
        [*pose.centre, *pose.rotation.ravel(), *_half_size(model.cameras[name])]
        for name, pose in model.poses.items()
    ]
    return np.array(rows, np.float32).reshape(-1, 14)


def _half_size(camera: Camera) -> Sequence[float]:
    half = np.array(camera.size) / 2 / mean_focal(camera)
    return [float(side) for side in half * min(1.0, WIDEST / half.max())]


def _frustum(centres: np.ndarray, radius: float) -> float:
    """Large enough to be seen, small enough that neighbours do not overlap."""
    if len(centres) < 2:
        return 0.1 * radius
    some = centres[:: max(1, len(centres) // 200)]
    gaps = np.linalg.norm(some[:, None] - centres, axis=2)
    nearest = np.partition(gaps, 1, axis=1)[:, 1]  # 0 is the camera itself
    return float(np.clip(0.4 * np.median(nearest), 0.007 * radius, 0.08 * radius))
