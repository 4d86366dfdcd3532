"""Strecha's `.camera` files (CVPR 2008): true cameras of a scene, one text file per photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.pose_pairs import check_camera, check_pose
from silk_sfm.files import whole_folder
from silk_sfm.geometry.pose import RotationTranslation
from silk_sfm.images import image_size

SUFFIX = ".camera"
NUMBERS = 9 + 3 + 9 + 3 + 2


@dataclass(frozen=True, eq=False)
class StrechaCamera:
    """camera: (3, 3) K in pixels of a photo of (width, height) `size`, as published
    pose: world to camera
    """

    camera: np.ndarray
    size: tuple[int, int]
    pose: RotationTranslation


def read_camera(path: Path) -> StrechaCamera:
    """Read K, three zeros (distortion), R (camera to world), centre, width and height.

    Raises DatasetError that names the file.
    """
    try:
        numbers = np.array(path.read_text("utf-8").split(), np.float64)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if len(numbers) != NUMBERS or numbers[9:12].any():
        raise DatasetError(
            f"{path} is no camera of {NUMBERS} numbers: K, three zeros, R, centre, width, height."
        )
    camera, rotation = numbers[:9].reshape(3, 3), numbers[12:21].reshape(3, 3).T
    pose = rotation, -rotation @ numbers[21:24]
    check_camera(camera, path.name, str(path))
    check_pose(pose, str(path))
    return StrechaCamera(camera, (int(numbers[24]), int(numbers[25])), pose)


def write_colmap_truth(cameras: Path, images: Path, target: Path) -> None:
    """Write the `.camera` files of a folder as a COLMAP text model without points, for `images`.

    The published K is scaled to the size of the photos with its origin at the corner of the first
    pixel, as COLMAP has it; the source does not say which one it means.
    """
    files = sorted(cameras.glob(f"*{SUFFIX}"))
    rows = ["", ""]
    for number, file in enumerate(files, start=1):
        name = file.name.removesuffix(SUFFIX)
        if not (images / name).is_file():
            raise DatasetError(f"{file} has no photo {images / name}.")
        camera, size = read_camera(file), image_size(images / name)
        factors = np.append(np.divide(size, camera.size), 1.0)
        rows[0] += _camera_line(number, size, camera.camera * factors[:, None])
        rows[1] += f"{number} {_pose_words(camera.pose)} {number} {name}\n\n"
    with whole_folder(target) as part:
        (part / "cameras.txt").write_text(rows[0], "utf-8")
        (part / "images.txt").write_text(rows[1], "utf-8")
        (part / "points3D.txt").write_text("", "utf-8")


def _camera_line(number: int, size: tuple[int, int], camera: np.ndarray) -> str:
    (fx, _, cx), (_, fy, cy), _ = camera.tolist()
    return f"{number} PINHOLE {size[0]} {size[1]} {fx!r} {fy!r} {cx!r} {cy!r}\n"


def _pose_words(pose: RotationTranslation) -> str:
    """Quaternion, real part first, and translation."""
    numbers = [*quaternion(pose[0]).tolist(), *pose[1].tolist()]
    return " ".join(map(repr, numbers))


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """(4,) unit quaternion, real part first and not negative, of a (3, 3) rotation.

    The largest eigenvector of Bar-Itzhack's matrix (JGCD 2000), which no angle upsets.
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    matrix = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    found = np.linalg.eigh(matrix)[1][:, -1]
    return np.asarray(found if found[0] >= 0 else -found)
