"""COLMAP databases: keypoints and verified pairs as its mappers read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pycolmap

from silk_sfm.colmap.cameras import Camera, CameraAssignment, to_pycolmap
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ReconstructionError
from silk_sfm.features import GeometryKind, TwoViewGeometry
from silk_sfm.files import whole_file
from silk_sfm.pixels import to_colmap

VerifiedPair = tuple[str, str, TwoViewGeometry]
CONFIGS: dict[GeometryKind, pycolmap.TwoViewGeometryConfiguration] = {
    "essential": pycolmap.TwoViewGeometryConfiguration.CALIBRATED,
    "fundamental": pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED,
    "homography": pycolmap.TwoViewGeometryConfiguration.PLANAR_OR_PANORAMIC,
}


@dataclass(frozen=True)
class DatabaseCounts:
    """What a database holds; `best_pair` is the largest number of inliers of one pair."""

    n_images: int
    n_keypoints: int
    n_pairs: int
    n_inliers: int
    best_pair: int


def write_database(
    path: Path,
    names: Sequence[str],
    cameras: CameraAssignment,
    keypoints: Callable[[str], np.ndarray],
    pairs: Iterable[VerifiedPair],
) -> DatabaseCounts:
    """Write a new COLMAP database; it appears at `path` when it is complete.

    names: of the images, in the order of their ids (from 1)
    keypoints: (N, 2) float32 pixels of an image; (0, 0) is the centre of the top-left pixel
    pairs: pairs without inliers are left out. Inliers are also written as raw matches, so that
        COLMAP can verify them anew.

    Raises ReconstructionError when a pair names an unknown image or keypoint.
    """
    with whole_file(path) as part, colmap_log():
        with pycolmap.Database.open(part) as database, pycolmap.DatabaseTransaction(database):
            ids = add_images(database, names, cameras)
            _write_pairs(database, _write_keypoints(database, ids, keypoints), pairs)
        _remove_journals(path)
    return count(path)


def write_rows_alone(
    path: Path,
    names: Sequence[str],
    cameras: CameraAssignment,
    keypoints: Callable[[str], np.ndarray],
    pairs: Iterable[VerifiedPair],
) -> None:
    """Write what `write_database` does as hloc does, as the peer in a comparison.

    Each row is a transaction of its own, and `path` is not whole before the last one.
    """
    with colmap_log(), pycolmap.Database.open(path) as database:
        ids = add_images(database, names, cameras)
        _write_pairs(database, _write_keypoints(database, ids, keypoints), pairs)


def write_images(path: Path, names: Sequence[str], cameras: CameraAssignment) -> None:
    """Write a new COLMAP database of images and cameras alone, for COLMAP's own features."""
    with whole_file(path) as part, colmap_log():
        with pycolmap.Database.open(part) as database, pycolmap.DatabaseTransaction(database):
            add_images(database, names, cameras)
        _remove_journals(path)


def count(path: Path) -> DatabaseCounts:
    """Count the images, keypoints and verified pairs of a database."""
    if not path.is_file():
        raise ReconstructionError(f"No database {path}.")
    with pycolmap.Database.open(path) as database:
        inliers = database.read_two_view_geometry_num_inliers()[1]
        return DatabaseCounts(
            n_images=database.num_images(),
            n_keypoints=database.num_keypoints(),
            n_pairs=sum(number > 0 for number in inliers),
            n_inliers=sum(inliers),
            best_pair=max(inliers, default=0),
        )


@dataclass(frozen=True)
class _Written:
    """An image that is in the database."""

    image_id: int
    n_keypoints: int


def add_images(
    database: pycolmap.Database, names: Sequence[str], cameras: CameraAssignment
) -> dict[str, int]:
    """Add cameras, rigs, images and frames to an open database; returns the ids of the images."""
    rigs = [_write_camera(database, camera) for camera in cameras.cameras]
    ids: dict[str, int] = {}
    for name in names:
        camera_id, rig_id = rigs[cameras.index_of[name]]
        image = pycolmap.Image(name=name, camera_id=camera_id)
        image.image_id = database.write_image(image)
        frame = pycolmap.Frame(rig_id=rig_id)
        frame.add_data_id(image.data_id)
        database.write_frame(frame)
        ids[name] = image.image_id
    return ids


def _write_keypoints(
    database: pycolmap.Database, ids: dict[str, int], keypoints: Callable[[str], np.ndarray]
) -> dict[str, _Written]:
    written: dict[str, _Written] = {}
    for name, image_id in ids.items():
        xy_colmap = to_colmap(keypoints(name)).astype(np.float32)
        database.write_keypoints(image_id, xy_colmap)
        written[name] = _Written(image_id, len(xy_colmap))
    return written


def _write_camera(database: pycolmap.Database, camera: Camera) -> tuple[int, int]:
    """Ids of the camera and of the rig that holds it alone."""
    row = to_pycolmap(camera)
    row.camera_id = database.write_camera(row)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(row.sensor_id)
    return row.camera_id, database.write_rig(rig)


def _write_pairs(
    database: pycolmap.Database, images: dict[str, _Written], pairs: Iterable[VerifiedPair]
) -> None:
    for name_a, name_b, geometry in pairs:
        if len(geometry.inliers) == 0:
            continue
        a, b = (_find(images, name) for name in (name_a, name_b))
        indices = geometry.inliers.indices
        if indices.min() < 0 or (indices.max(axis=0) >= (a.n_keypoints, b.n_keypoints)).any():
            raise ReconstructionError(
                f"Matches of `{name_a}` and `{name_b}` name keypoints that do not exist "
                f"({a.n_keypoints} and {b.n_keypoints}). Features and matches are of different "
                f"runs: match anew."
            )
        row = _two_view_row(geometry)
        database.write_matches(a.image_id, b.image_id, row.inlier_matches)
        database.write_two_view_geometry(a.image_id, b.image_id, row)


def _find(images: dict[str, _Written], name: str) -> _Written:
    if name not in images:
        raise ReconstructionError(f"A verified pair names `{name}`, which has no features.")
    return images[name]


def _two_view_row(geometry: TwoViewGeometry) -> pycolmap.TwoViewGeometry:
    row = pycolmap.TwoViewGeometry()
    row.config = CONFIGS[geometry.kind]
    row.inlier_matches = geometry.inliers.indices.astype(np.uint32)
    if geometry.kind == "essential":
        row.E = geometry.matrix
    elif geometry.kind == "fundamental":
        row.F = fundamental_to_colmap(geometry.matrix)
    else:
        row.H = homography_to_colmap(geometry.matrix)
    return row


def fundamental_to_colmap(fundamental: np.ndarray) -> np.ndarray:
    """(3, 3) F of pixels -> F of COLMAP pixels: T^-T F T^-1 with x_colmap = T x."""
    _, back = _pixels_to_colmap()
    return np.asarray(back.T @ fundamental @ back)


def homography_to_colmap(homography: np.ndarray) -> np.ndarray:
    """(3, 3) H of pixels -> H of COLMAP pixels: T H T^-1 with x_colmap = T x."""
    shift, back = _pixels_to_colmap()
    return np.asarray(shift @ homography @ back)


@cache
def _pixels_to_colmap() -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) T: pixels -> COLMAP pixels, and its inverse."""
    shift = np.eye(3)
    shift[:2, 2] = to_colmap(np.zeros((1, 2)))[0]
    return shift, np.linalg.inv(shift)


def _remove_journals(path: Path) -> None:
    """A journal left by a program that was killed would be replayed into the new database."""
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
