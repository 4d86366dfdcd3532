"""Cameras: COLMAP's models, their options, and rays of keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pycolmap

from silk_sfm.errors import ConfigError
from silk_sfm.pixels import to_colmap

CAMERA_MODELS = tuple(
    name
    for name in pycolmap.CameraModelId.__members__
    if name not in ("INVALID", "EQUIRECTANGULAR")  # a sphere has no focal length and no plane z = 1
)

FocalSource = Literal["intrinsics", "exif", "guess"]
CameraMode = Literal["auto", "single", "per-folder", "per-image"]


@dataclass(frozen=True)
class Camera:
    """Intrinsics in COLMAP's terms: its origin is the outer corner of the top-left pixel.

    model: name of a COLMAP camera model
    width, height: pixels of the raw file, before any EXIF rotation
    params: in the order of the model (SIMPLE_RADIAL: f, cx, cy, k), pixels
    focal_from: where the focal length comes from
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]
    focal_from: FocalSource = "intrinsics"

    def __post_init__(self) -> None:
        check_model(self.model)
        expected = self._unchecked().params_info
        if len(self.params) != len(expected.split(",")):
            raise ConfigError(
                f"Camera model {self.model} has the parameters {expected}, got {self.params}."
            )
        if not np.isfinite(self.params).all() or mean_focal(self) <= 0:
            raise ConfigError(f"Camera {self.model} has no valid parameters: {self.params}.")

    @property
    def trusted(self) -> bool:
        """Are the intrinsics known, rather than guessed or read from EXIF?"""
        return self.focal_from == "intrinsics"

    @property
    def has_prior_focal(self) -> bool:
        """Is the focal length more than a guess?"""
        return self.focal_from != "guess"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def _unchecked(self) -> pycolmap.Camera:
        return pycolmap.Camera.create_from_model_name(0, self.model, 1.0, self.width, self.height)


@dataclass(frozen=True)
class CameraAssignment:
    """Which camera took which image: `index_of[name]` counts in `cameras`."""

    cameras: tuple[Camera, ...]
    index_of: Mapping[str, int]

    def __getitem__(self, name: str) -> Camera:
        return self.cameras[self.index_of[name]]

    @property
    def by_name(self) -> dict[str, Camera]:
        """Camera of each image."""
        return {name: self.cameras[index] for name, index in self.index_of.items()}

    @property
    def all_trusted(self) -> bool:
        """Are the intrinsics of every image known?"""
        return all(camera.trusted for camera in self.cameras)


@dataclass(frozen=True)
class CameraOptions:
    """Where the intrinsics come from."""

    camera_model: str = "SIMPLE_RADIAL"
    """COLMAP camera model of photos without known intrinsics."""
    camera_mode: CameraMode = "auto"
    """Which photos share a camera. auto: those of a folder with the same size and the same EXIF
    make, model and focal length; photos without EXIF share one when nothing in their folder has
    EXIF and all are of one size (video frames), else each has its own."""
    intrinsics: Path | None = None
    """Known intrinsics, taken as they are: a COLMAP model folder, cameras.txt or cameras.bin.
    Photos are found by name when the folder names them, else by size."""
    focal_factor: float = 1.2
    """Focal length of a photo without EXIF: this times its longer side."""

    def __post_init__(self) -> None:
        check_model(self.camera_model)
        if not 0 < self.focal_factor < float("inf"):
            raise ConfigError(f"focal_factor must be positive, got {self.focal_factor}.")


def check_model(model: str) -> None:
    """Raises ConfigError with the known names when `model` is no usable COLMAP camera model."""
    if model not in CAMERA_MODELS:
        raise ConfigError(f"No camera model `{model}`; known: {', '.join(CAMERA_MODELS)}.")


def simple_camera(
    model: str, size: tuple[int, int], focal_px: float, focal_from: FocalSource
) -> Camera:
    """A camera without distortion, its principal point in the middle."""
    created = pycolmap.Camera.create_from_model_name(0, model, focal_px, *size)
    return Camera(model, *size, tuple(created.params.tolist()), focal_from)


def rays(camera: Camera, keypoints: np.ndarray) -> np.ndarray:
    """(N, 2) float32 pixels -> (N, 2) float64 points on the plane z = 1, without distortion.

    A pixel that no ray in front of the camera reaches becomes NaN.
    """
    if len(keypoints) == 0:
        return np.zeros((0, 2))
    return np.asarray(to_pycolmap(camera).cam_from_img(to_colmap(keypoints)), np.float64)


def mean_focal(camera: Camera) -> float:
    """Mean of the focal lengths in x and y, in pixels."""
    return float(to_pycolmap(camera).mean_focal_length())


def to_pycolmap(camera: Camera, camera_id: int = 0) -> pycolmap.Camera:
    """The camera as pycolmap has it."""
    return pycolmap.Camera(
        camera_id=camera_id,
        model=pycolmap.CameraModelId.__members__[camera.model],
        width=camera.width,
        height=camera.height,
        params=list(camera.params),
        has_prior_focal_length=camera.has_prior_focal,
    )


def from_pycolmap(camera: pycolmap.Camera, focal_from: FocalSource = "intrinsics") -> Camera:
    """The camera as plain data."""
    params = tuple(camera.params.tolist())
    return Camera(camera.model_name, camera.width, camera.height, params, focal_from)
