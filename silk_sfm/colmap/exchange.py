"""What an existing COLMAP database or model knows: images, cameras, pairs."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pycolmap

from silk_sfm.colmap.cameras import Camera, CameraAssignment, from_pycolmap, to_pycolmap
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ReconstructionError
from silk_sfm.files import whole_file

Pair = tuple[str, str]
CAMERA_FILES = (
    "cameras.txt",
    *(f"{part}.bin" for part in ("cameras", "frames", "images", "points3D", "rigs")),
)
"""What `write_cameras` writes."""


@dataclass(frozen=True, eq=False)
class ColmapContent:
    """names: of all images, sorted
    cameras: the camera of each image
    shared: what the two images of a pair share: inliers, else raw matches (database), or points
        that both see (model); names of a pair are in order
    poses: camera from world, only of registered images of a model
    """

    names: tuple[str, ...]
    cameras: CameraAssignment
    shared: Mapping[Pair, int]
    poses: Mapping[str, pycolmap.Rigid3d]


def read_colmap(source: Path) -> ColmapContent:
    """Read a database (a file) or a model (a folder); neither is changed.

    Raises ReconstructionError when it is neither, damaged, or without images.
    """
    if source.is_dir():
        content = _read_model(source)
    elif source.is_file():
        content = _read_database(source)
    else:
        raise ReconstructionError(f"No {source}. Give a COLMAP database or the folder of a model.")
    if not content.names:
        raise ReconstructionError(f"{source} holds no images.")
    return content


def write_cameras(content: ColmapContent, folder: Path) -> None:
    """Write FOLDER as a model without points, which `--intrinsics FOLDER` reads, and cameras.txt.

    The model is binary: COLMAP cannot read names with spaces from text. A pose that is not known
    is written as the identity, because COLMAP writes no image without a pose.
    """
    model = pycolmap.Reconstruction()
    for number, camera in enumerate(content.cameras.cameras, start=1):
        model.add_camera_with_trivial_rig(to_pycolmap(camera, number))
    for number, name in enumerate(content.names, start=1):
        camera_id = content.cameras.index_of[name] + 1
        image = pycolmap.Image(name=name, camera_id=camera_id, image_id=number)
        model.add_image_with_trivial_frame(image, content.poses.get(name, pycolmap.Rigid3d()))
    with tempfile.TemporaryDirectory() as temporary, colmap_log():
        model.write_text(temporary)
        model.write_binary(temporary)
        for name in CAMERA_FILES:
            with whole_file(folder / name) as part:
                shutil.copy(Path(temporary) / name, part)


def _read_database(path: Path) -> ColmapContent:
    with _readable(path), _copied(path) as copy, pycolmap.Database.open(copy) as database:
        images = database.read_all_images()
        cameras = {
            row.camera_id: from_pycolmap(
                row, "intrinsics" if row.has_prior_focal_length else "guess"
            )
            for row in database.read_all_cameras()
        }
        shared = _matched_pairs(database, {image.image_id: image.name for image in images})
    return _content(images, cameras, shared, {})


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A copy to open: pycolmap brings a database of an older COLMAP to its own format, for good."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (path, path.with_name(f"{path.name}-wal")):  # SQLite's log of late changes
            if file.exists():
                shutil.copyfile(file, Path(folder) / file.name)
        yield Path(folder) / path.name


def _matched_pairs(database: pycolmap.Database, name_of: Mapping[int, str]) -> dict[Pair, int]:
    """Pairs with their inliers, or with their raw matches when none has inliers."""
    pair_ids, counts = database.read_two_view_geometry_num_inliers()
    if not any(counts):
        pair_ids, counts = database.read_num_matches()
    shared: dict[Pair, int] = {}
    for pair_id, count in zip(pair_ids, counts, strict=True):
        a, b = sorted(name_of[image_id] for image_id in pycolmap.pair_id_to_image_pair(pair_id))
        shared[a, b] = count
    return shared


def _read_model(folder: Path) -> ColmapContent:
    with _readable(folder):
        model = pycolmap.Reconstruction(folder)
    images = list(model.images.values())
    name_of = {image.image_id: image.name for image in images}
    shared: Counter[Pair] = Counter()
    for point in model.points3D.values():
        seen = sorted({name_of[element.image_id] for element in point.track.elements})
        shared.update(combinations(seen, 2))
    poses = {image.name: image.cam_from_world() for image in images if image.has_pose}
    cameras = {number: from_pycolmap(camera) for number, camera in model.cameras.items()}
    return _content(images, cameras, shared, poses)


def _content(
    images: Sequence[pycolmap.Image],
    cameras: Mapping[int, Camera],
    shared: Mapping[Pair, int],
    poses: Mapping[str, pycolmap.Rigid3d],
) -> ColmapContent:
    camera_of = {image.name: image.camera_id for image in images}
    used = sorted(set(camera_of.values()))
    names = tuple(sorted(camera_of))
    plain = tuple(cameras[camera_id] for camera_id in used)
    place = {camera_id: index for index, camera_id in enumerate(used)}
    index_of = {name: place[camera_of[name]] for name in names}
    return ColmapContent(names, CameraAssignment(plain, index_of), shared, poses)


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    """Turn what pycolmap raises for another or a damaged file into our error."""
    try:
        with colmap_log():
            yield
    except (ValueError, RuntimeError, IndexError, KeyError) as error:
        raise ReconstructionError(
            f"{source} is no COLMAP database or model that can be read: {str(error).rstrip('.')}."
        ) from error
