"""Which keypoints of each image see a point of a model, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from silk_sfm.colmap.logs import colmap_log
from silk_sfm.colmap.model import readable
from silk_sfm.pixels import from_colmap
from silk_sfm.shapes import check_shapes


@dataclass(frozen=True, eq=False)
class Observations:
    """What one registered image sees of a model.

    rows: (K,) int64, indices of the keypoints that see a point
    pixels: (K, 2) float64, where those keypoints are, (0, 0) = centre of the top-left pixel
    errors: (K,) float64, distances to the projected points in pixels; NaN behind the camera
    n_keypoints: keypoints of the image in the model, with and without a point
    """

    rows: np.ndarray
    pixels: np.ndarray
    errors: np.ndarray
    n_keypoints: int

    def __post_init__(self) -> None:
        check_shapes(rows=(self.rows, "K"), pixels=(self.pixels, "K 2"), errors=(self.errors, "K"))


def read_observations(model_dir: Path) -> dict[str, Observations]:
    """The observations of every registered image, by name, sorted.

    Raises ReconstructionError when the model cannot be read.
    """
    with readable(model_dir), colmap_log():
        model = pycolmap.Reconstruction(model_dir)
    images = [image for image in model.images.values() if image.has_pose]
    return {image.name: _observations(model, image) for image in sorted(images, key=_name)}


def _observations(model: pycolmap.Reconstruction, image: pycolmap.Image) -> Observations:
    seen = list(image.get_observation_points2D())
    found = np.array([point.xy for point in seen], np.float64).reshape(-1, 2)
    world = np.array([model.points3D[point.point3D_id].xyz for point in seen]).reshape(-1, 3)
    return Observations(
        rows=np.array(image.get_observation_point2D_idxs(), np.int64),
        pixels=from_colmap(found),
        errors=np.linalg.norm(_projected(model, image, world) - found, axis=1),
        n_keypoints=image.num_points2D(),
    )


def _projected(
    model: pycolmap.Reconstruction, image: pycolmap.Image, world: np.ndarray
) -> np.ndarray:
    """(K, 3) points of the world -> (K, 2) float64 pixels of COLMAP."""
    if len(world) == 0:
        return np.zeros((0, 2))
    in_camera = image.cam_from_world() * world
    return np.asarray(model.cameras[image.camera_id].img_from_cam(in_camera), np.float64)


def _name(image: pycolmap.Image) -> str:
    return image.name
