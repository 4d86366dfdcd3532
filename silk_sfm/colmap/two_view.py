"""Two calibrated images: K of COLMAP's cameras, and its LO-RANSAC for their relative pose."""

from __future__ import annotations

import numpy as np
import pycolmap

from silk_sfm.colmap.cameras import Camera
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ConfigError
from silk_sfm.geometry.pose import RotationTranslation
from silk_sfm.pixels import from_colmap


def estimate_relative_pose(
    pixels_a: np.ndarray,
    pixels_b: np.ndarray,
    camera_a: np.ndarray,
    camera_b: np.ndarray,
    threshold_px: float,
    confidence: float,
    max_iterations: int,
    seed: int,
) -> RotationTranslation | None:
    """The pose that maps camera a to camera b, its translation of unit length; None without one.

    pixels_a, pixels_b: (M, 2) float64; camera_a, camera_b: (3, 3) K in the same frame of pixels
    """
    options = pycolmap.RANSACOptions(
        max_error=threshold_px,
        confidence=confidence,
        min_num_trials=min(100, max_iterations),
        max_num_trials=max_iterations,
        random_seed=seed % (2**31),
    )
    with colmap_log():
        found = pycolmap.estimate_essential_matrix(
            pixels_a, pixels_b, _pinhole(camera_a), _pinhole(camera_b), options
        )
    if found is None:
        return None
    pose = found["cam2_from_cam1"]
    return np.asarray(pose.rotation.matrix()), np.asarray(pose.translation)


def _pinhole(camera: np.ndarray) -> pycolmap.Camera:
    """A camera of K; only rays are made with it, so that its size does not matter."""
    params = [camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]]
    return pycolmap.Camera(model="PINHOLE", width=1, height=1, params=params)


def pixel_camera(camera: Camera) -> np.ndarray:
    """(3, 3) K of a pinhole camera in pixels, (0, 0) = centre of the top-left one.

    Raises ConfigError when the camera has distortion.
    """
    if camera.model not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise ConfigError(
            f"A camera is of the model {camera.model}; pairs of pinhole cameras are compared. "
            "Undistort the photos first (`colmap image_undistorter`)."
        )
    *focal, cx, cy = camera.params
    centre = from_colmap(np.array([[cx, cy]]))[0]
    return np.array([[focal[0], 0.0, centre[0]], [0.0, focal[-1], centre[1]], [0.0, 0.0, 1.0]])
