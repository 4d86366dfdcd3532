"""Known intrinsics: cameras.txt or cameras.bin, alone or in a COLMAP model folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from silk_sfm.colmap.cameras import Camera, from_pycolmap
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ConfigError

PARTS = ("cameras", "images", "points3D")
EMPTY = {".txt": b"", ".bin": bytes(8)}  # binary: a count of zero


@dataclass(frozen=True)
class KnownCameras:
    """cameras: by COLMAP's id; id_of: camera id of each image that the folder names."""

    cameras: Mapping[int, Camera]
    id_of: Mapping[str, int]

    @property
    def digest(self) -> str:
        """Names the cameras, and the images whose size alone does not tell theirs: 16 digits."""
        cameras = sorted(str(camera) for camera in self.cameras.values())
        n_of_size = Counter(camera.size for camera in self.cameras.values())
        named = {name: self.cameras[camera_id] for name, camera_id in self.id_of.items()}
        told = [
            f"{name}: {named[name]}" for name in sorted(named) if n_of_size[named[name].size] > 1
        ]
        return hashlib.sha256("\n".join([*cameras, *told]).encode()).hexdigest()[:16]


def read_intrinsics(path: Path) -> KnownCameras:
    """Read a model folder, or the cameras of a cameras.txt or cameras.bin.

    Raises ConfigError when there is none, when it is damaged or of a model that cannot be used.
    """
    folder, suffix, has_images = _locate(path)
    try:
        with tempfile.TemporaryDirectory() as temporary, colmap_log():
            if not all((folder / f"{part}{suffix}").exists() for part in PARTS) or not has_images:
                folder = _completed(folder, suffix, has_images, Path(temporary))
            model = pycolmap.Reconstruction(folder)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ConfigError(f"Cannot read intrinsics from {path}: {error}.") from error
    if not model.cameras:
        raise ConfigError(f"{path} holds no camera.")
    return KnownCameras(
        {camera_id: from_pycolmap(camera) for camera_id, camera in model.cameras.items()},
        {image.name: image.camera_id for image in model.images.values()},
    )


def _locate(path: Path) -> tuple[Path, str, bool]:
    """Folder, suffix of its files, and whether the names of images count."""
    if path.is_file() and path.stem == "cameras" and path.suffix in EMPTY:
        return path.parent, path.suffix, False
    for suffix in (".bin", ".txt"):
        if (path / f"cameras{suffix}").is_file():
            return path, suffix, (path / f"images{suffix}").is_file()
    raise ConfigError(
        f"No intrinsics at {path}. Give cameras.txt, cameras.bin or a folder that holds one."
    )


def _completed(folder: Path, suffix: str, has_images: bool, temporary: Path) -> Path:
    """A copy in which the files that are missing are empty: pycolmap reads only whole models."""
    for part in PARTS:
        name = f"{part}{suffix}"
        is_wanted = part == "cameras" or (part == "images" and has_images)
        if is_wanted:
            shutil.copy(folder / name, temporary / name)
        else:
            (temporary / name).write_bytes(EMPTY[suffix])
    return temporary
