"""The files of the Image Matching Challenge 2022 on Kaggle: train and test folders, submission."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.pose_pairs import check_camera, check_pose
from silk_sfm.files import whole_file
from silk_sfm.geometry.pose import RotationTranslation

DATASET = "phototourism"
SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG")


@dataclass(frozen=True, eq=False)
class Calibration:
    """camera: (3, 3) K; pose: world to camera, in the units of the scene"""

    camera: np.ndarray
    pose: RotationTranslation


@dataclass(frozen=True)
class Sample:
    """One pair to find the fundamental matrix of.

    sample_id: as in the submission; scene: scene or batch
    a, b: images relative to the data folder; image_a, image_b: their ids, without suffix
    """

    sample_id: str
    scene: str
    a: str
    b: str
    image_a: str
    image_b: str


def read_training_pairs(folder: Path, min_covisibility: float) -> list[Sample]:
    """The pairs of one scene of `train` that see enough of the same, in the order of the file.

    Reads pair_covisibility.csv: pair (`a-b`), covisibility. Raises DatasetError that names the
    line.
    """
    path = folder / "pair_covisibility.csv"
    samples = []
    for where, row in _rows(path, ("pair", "covisibility")):
        image_a, separator, image_b = row["pair"].partition("-")
        if not separator:
            raise DatasetError(f"{where}: `{row['pair']}` is no pair `a-b`.")
        if _numbers(row["covisibility"], 1, where)[0] >= min_covisibility:
            names = [_find_image(folder / "images", image, where) for image in (image_a, image_b)]
            a, b = (f"{folder.name}/images/{name}" for name in names)
            sample_id = f"{DATASET};{folder.name};{row['pair']}"
            samples.append(Sample(sample_id, folder.name, a, b, image_a, image_b))
    return samples


def read_test_pairs(data: Path) -> list[Sample]:
    """The pairs of test.csv (sample_id, batch_id, image_1_id, image_2_id).

    Images lie in test_images/BATCH. Raises DatasetError that names the line.
    """
    columns = ("sample_id", "batch_id", "image_1_id", "image_2_id")
    samples = []
    for where, row in _rows(data / "test.csv", columns):
        batch = row["batch_id"]
        folder, images = data / "test_images" / batch, (row["image_1_id"], row["image_2_id"])
        a, b = (f"test_images/{batch}/{_find_image(folder, image, where)}" for image in images)
        samples.append(Sample(row["sample_id"], batch, a, b, *images))
    return samples


def read_calibration(path: Path) -> dict[str, Calibration]:
    """calibration.csv by image id: image_id, camera_intrinsics, rotation_matrix,
    translation_vector, numbers separated by spaces, rows first. Raises DatasetError that names the
    line.
    """
    columns = ("image_id", "camera_intrinsics", "rotation_matrix", "translation_vector")
    found: dict[str, Calibration] = {}
    for where, row in _rows(path, columns):
        camera, rotation = (
            _numbers(row[name], 9, where).reshape(3, 3)
            for name in ("camera_intrinsics", "rotation_matrix")
        )
        pose = rotation, _numbers(row["translation_vector"], 3, where)
        check_camera(camera, row["image_id"], where)
        check_pose(pose, where)
        found[row["image_id"]] = Calibration(camera, pose)
    return found


def read_scales(path: Path) -> dict[str, float]:
    """scaling_factors.csv: metres per unit by scene. Raises DatasetError that names the line."""
    scales: dict[str, float] = {}
    for where, row in _rows(path, ("scene", "scaling_factor")):
        scale = float(_numbers(row["scaling_factor"], 1, where)[0])
        if not 0 < scale < np.inf:
            raise DatasetError(f"{where}: the scaling factor {scale} is not above 0.")
        scales[row["scene"]] = scale
    return scales


def write_submission(path: Path, matrices: Mapping[str, np.ndarray]) -> None:
    """Write sample_id, fundamental_matrix: nine numbers, rows first, separated by spaces."""
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sample_id", "fundamental_matrix"])
        for sample_id, matrix in matrices.items():
            writer.writerow([sample_id, " ".join(f"{value:.8e}" for value in matrix.ravel())])


def _rows(path: Path, columns: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The lines of a CSV file with a header: where each stands, and its values by column."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or [])]
            if missing:
                raise DatasetError(f"{path} lacks the column {', '.join(missing)} in its header.")
            for row in reader:
                where = f"{path} line {reader.line_num}"
                if any(row[name] is None for name in columns):
                    raise DatasetError(f"{where} has too few columns.")
                yield where, row
    except FileNotFoundError:
        raise DatasetError(f"No file {path}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error


def _numbers(text: str, count: int, where: str) -> np.ndarray:
    try:
        numbers = np.array(text.split(), np.float64)
    except ValueError as error:
        raise DatasetError(f"{where}: {error}.") from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise DatasetError(f"{where}: `{text}` is not {count} finite numbers.")
    return numbers


def _find_image(folder: Path, image: str, where: str) -> str:
    """The file name of an image id, which has no suffix."""
    for suffix in SUFFIXES:
        if (folder / f"{image}{suffix}").is_file():
            return f"{image}{suffix}"
    raise DatasetError(f"{where}: no image `{image}` (.jpg, .png) in {folder}.")
