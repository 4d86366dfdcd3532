"""COLMAP models as plain data: reading, summing up, exporting points, undistorting photos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from silk_sfm.colmap.cameras import Camera, from_pycolmap
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ReconstructionError
from silk_sfm.files import whole_file, whole_folder
from silk_sfm.images import EXIF_ORIENTATION, open_image
from silk_sfm.shapes import check_dtypes, check_shapes


@dataclass(frozen=True, eq=False)
class Pose:
    """x_camera = rotation @ x_world + translation: (3, 3) and (3,) float64."""

    rotation: np.ndarray
    translation: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """(3,) position of the camera in the world."""
        return np.asarray(-self.rotation.T @ self.translation)


@dataclass(frozen=True, eq=False)
class Points:
    """The points of a model.

    xyz: (P, 3) float64; colours: (P, 3) uint8 RGB
    errors: (P,) float64, mean reprojection error in pixels
    track_lengths: (P,) int64, how many photos see the point
    """

    xyz: np.ndarray
    colours: np.ndarray
    errors: np.ndarray
    track_lengths: np.ndarray

    def __post_init__(self) -> None:
        check_shapes(
            xyz=(self.xyz, "P 3"),
            colours=(self.colours, "P 3"),
            errors=(self.errors, "P"),
            track_lengths=(self.track_lengths, "P"),
        )

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True, eq=False)
class Model:
    """A reconstruction; `poses` and `cameras` by the names of the registered images, sorted."""

    poses: dict[str, Pose]
    cameras: dict[str, Camera]
    points: Points

    @property
    def names(self) -> list[str]:
        """Registered images."""
        return list(self.poses)


@dataclass(frozen=True)
class ModelSummary:
    """Numbers of a model; lengths and errors are means over points, errors in pixels."""

    n_images: int
    n_points: int
    n_observations: int
    track_length: float
    reprojection_error: float


def read_model(model_dir: Path) -> Model:
    """Read a COLMAP model, binary or text. Raises ReconstructionError when it cannot be read.

    Its cameras count as known intrinsics.
    """
    with readable(model_dir), colmap_log():
        model = pycolmap.Reconstruction(model_dir)
        model.update_point_3d_errors()
    images = sorted((image for image in model.images.values() if image.has_pose), key=_name)
    cameras = {camera_id: from_pycolmap(camera) for camera_id, camera in model.cameras.items()}
    return Model(
        poses={image.name: _pose(image) for image in images},
        cameras={image.name: cameras[image.camera_id] for image in images},
        points=_points(model),
    )


def summarise(model: Model) -> ModelSummary:
    """Count what a model holds; means are 0 without points."""
    points = model.points
    n_observations = int(points.track_lengths.sum())
    return ModelSummary(
        n_images=len(model.poses),
        n_points=len(points),
        n_observations=n_observations,
        track_length=n_observations / max(len(points), 1),
        reprojection_error=float(points.errors.sum()) / max(len(points), 1),
    )


def write_points_ply(points: np.ndarray, colours: np.ndarray, path: Path) -> None:
    """Write (P, 3) points as float32 with (P, 3) uint8 RGB colours as a binary PLY."""
    check_shapes(points=(points, "P 3"), colours=(colours, "P 3"))
    check_dtypes(colours=(colours, np.uint8))
    rows = np.empty(len(points), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = points, colours
    properties = [f"property float {axis}" for axis in "xyz"]
    properties += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header = "\n".join([*lines, *properties, "end_header", ""])
    with whole_file(path) as part:
        part.write_bytes(header.encode() + rows.tobytes())


def undistort(model_dir: Path, image_dir: Path, out_dir: Path, max_size: int | None = None) -> None:
    """Write undistorted photos and their pinhole model as splat trainers and COLMAP's MVS read it.

    out_dir/images, out_dir/sparse, out_dir/stereo; the photos' longer side is at most `max_size`.
    COLMAP keeps the model in sparse, most trainers look for it in sparse/0: it is in both.
    Raises ReconstructionError when the model cannot be read or a photo is missing.
    """
    _check_photos(read_model(model_dir), image_dir)
    options = pycolmap.UndistortCameraOptions(max_image_size=max_size or -1)
    with whole_folder(out_dir) as part, readable(model_dir), colmap_log():
        pycolmap.undistort_images(part, model_dir, image_dir, undistort_options=options)
        for photo in sorted((part / "images").rglob("*")):
            if photo.is_file():
                _drop_orientation(photo)
        (part / "sparse" / "0").mkdir()
        for file in (part / "sparse").glob("*.bin"):
            shutil.copy(file, part / "sparse" / "0")


def _drop_orientation(photo: Path) -> None:
    """COLMAP copies the EXIF tag, but its cameras count raw pixels: these must not be turned."""
    with open_image(photo) as image:
        exif = image.getexif()
        if exif.get(EXIF_ORIENTATION, 1) == 1:
            return
        exif[EXIF_ORIENTATION] = 1
        image.load()
        quality = {"quality": "keep"} if image.format == "JPEG" else {}
        image.save(photo, format=image.format, exif=exif, **quality)


def _check_photos(model: Model, image_dir: Path) -> None:
    missing = [name for name in model.names if not (image_dir / name).is_file()]
    if missing:
        raise ReconstructionError(
            f"{len(missing)} of {len(model.names)} photos of the model are not in {image_dir}, "
            f"first `{missing[0]}`. Give the folder that the model was made from."
        )


@contextmanager
def readable(model_dir: Path) -> Iterator[None]:
    """Turn what pycolmap raises for a missing or damaged model into our error."""
    if not any((model_dir / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
        raise ReconstructionError(f"No COLMAP model in {model_dir} (cameras.bin, images.bin, ...).")
    try:
        yield
    except (ValueError, RuntimeError, IndexError) as error:
        raise ReconstructionError(f"COLMAP model {model_dir} cannot be used: {error}.") from error


def _name(image: pycolmap.Image) -> str:
    return image.name


def _pose(image: pycolmap.Image) -> Pose:
    pose = image.cam_from_world()
    return Pose(np.asarray(pose.rotation.matrix()), np.asarray(pose.translation))


def _points(model: pycolmap.Reconstruction) -> Points:
    points = [point for _, point in sorted(model.points3D.items())]
    return Points(
        xyz=np.array([point.xyz for point in points], np.float64).reshape(-1, 3),
        colours=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        errors=np.array([point.error for point in points], np.float64),
        track_lengths=np.array([point.track.length() for point in points], np.int64),
    )
