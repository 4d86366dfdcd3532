"""Which camera took which photo: from EXIF, or from intrinsics that are known."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pycolmap

from silk_sfm.colmap.cameras import (
    Camera,
    CameraAssignment,
    CameraOptions,
    from_pycolmap,
    simple_camera,
)
from silk_sfm.colmap.intrinsics import KnownCameras, read_intrinsics
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.images import image_size, open_image

EXIF_IFD, MAKE, MODEL = 0x8769, 0x010F, 0x0110
FOCAL_MM, FOCAL_35MM = 0x920A, 0xA405
DIAGONAL_35MM = 43.27  # mm, as COLMAP has it


@dataclass(frozen=True)
class ExifFocal:
    """What EXIF says of a camera; lengths in mm, 0 when unknown."""

    make: str = ""
    model: str = ""
    focal_mm: float = 0.0
    focal_35mm: float = 0.0


NO_EXIF = ExifFocal()


@dataclass(frozen=True)
class _Photo:
    name: str
    size: tuple[int, int]
    exif: ExifFocal

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.name).parent)


def assign_cameras(
    image_dir: Path, names: Sequence[str], options: CameraOptions
) -> CameraAssignment:
    """The camera of each image in the folder, in the frame of its raw file.

    Raises ImageError for a file that is no image, ConfigError for intrinsics that do not fit or for
    images of different sizes that are to share a camera.
    """
    if options.intrinsics is not None:
        return known_cameras(
            {name: image_size(image_dir / name) for name in names}, options.intrinsics
        )
    return _assign([_look_at(image_dir, name) for name in names], options, image_dir)


def cameras_of_sizes(
    sizes: Mapping[str, tuple[int, int]], options: CameraOptions
) -> CameraAssignment:
    """The camera of each image given its (width, height), without its photo: known, or a guess.

    Raises ConfigError for intrinsics that do not fit, or for images of different sizes that are to
    share a camera.
    """
    if options.intrinsics is not None:
        return known_cameras(sizes, options.intrinsics)
    photos = [_Photo(name, size, NO_EXIF) for name, size in sizes.items()]
    return _assign(photos, options, Path())


def known_cameras(sizes: Mapping[str, tuple[int, int]], intrinsics: Path) -> CameraAssignment:
    """The known camera of each image, given its (width, height).

    Raises ConfigError for intrinsics that cannot be read or do not fit.
    """
    return assign_known(sizes, read_intrinsics(intrinsics), intrinsics)


def read_exif_focal(path: Path) -> ExifFocal:
    """Camera and focal length from EXIF; a broken or missing EXIF block says nothing."""
    try:
        with open_image(path) as image:
            exif = image.getexif()
            detail = exif.get_ifd(EXIF_IFD)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        return NO_EXIF
    make, model = (str(exif.get(tag, "")).strip("\0 ") for tag in (MAKE, MODEL))
    return ExifFocal(make, model, _length(detail.get(FOCAL_MM)), _length(detail.get(FOCAL_35MM)))


def _length(value: object) -> float:
    try:
        length = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return length if math.isfinite(length) and length > 0 else 0.0


def _look_at(image_dir: Path, name: str) -> _Photo:
    return _Photo(name, image_size(image_dir / name), read_exif_focal(image_dir / name))


def _assign(photos: Sequence[_Photo], options: CameraOptions, image_dir: Path) -> CameraAssignment:
    groups = _groups(photos, options.camera_mode)
    cameras = tuple(_camera(image_dir, group, options) for group in groups)
    index_of = {photo.name: index for index, group in enumerate(groups) for photo in group}
    return CameraAssignment(cameras, {photo.name: index_of[photo.name] for photo in photos})


def _groups(photos: Sequence[_Photo], mode: str) -> list[list[_Photo]]:
    """Photos that share a camera."""
    uniform = _uniform_folders(photos)
    groups: dict[Hashable, list[_Photo]] = defaultdict(list)
    for photo in photos:
        keys: dict[str, Hashable] = {
            "single": "",
            "per-folder": photo.folder,
            "per-image": photo.name,
            "auto": _auto_key(photo, photo.folder in uniform),
        }
        groups[keys[mode]].append(photo)
    if mode in ("single", "per-folder"):
        for group in groups.values():
            _check_same_size(group, mode)
    return list(groups.values())


def _auto_key(photo: _Photo, is_uniform: bool) -> Hashable:
    if photo.exif == NO_EXIF and not is_uniform:
        return photo.name
    return photo.folder, photo.size, photo.exif


def _uniform_folders(photos: Sequence[_Photo]) -> set[str]:
    """Folders in which all photos have one size and one EXIF identity (or none has any)."""
    kinds: dict[str, set[tuple[tuple[int, int], ExifFocal]]] = defaultdict(set)
    for photo in photos:
        kinds[photo.folder].add((photo.size, photo.exif))
    return {folder for folder, found in kinds.items() if len(found) == 1}


def _check_same_size(photos: Sequence[_Photo], mode: str) -> None:
    first = photos[0]
    for photo in photos[1:]:
        if photo.size != first.size:
            raise ConfigError(
                f"Camera mode {mode}: `{first.name}` is {_written(first.size)} px, `{photo.name}` "
                f"{_written(photo.size)} px. Photos of one camera have one size; use auto or "
                f"per-image."
            )


def _camera(image_dir: Path, photos: Sequence[_Photo], options: CameraOptions) -> Camera:
    """The camera of a group: from the first photo whose EXIF tells its focal length."""
    size = photos[0].size
    for photo in photos:
        if photo.exif.focal_35mm:
            focal = photo.exif.focal_35mm / DIAGONAL_35MM * math.hypot(*size)
            return simple_camera(options.camera_model, size, focal, "exif")
        if photo.exif.focal_mm:
            camera = _from_sensor_table(image_dir / photo.name, options.camera_model)
            if camera is not None:
                return camera
    guess = options.focal_factor * max(size)
    return simple_camera(options.camera_model, size, guess, "guess")


def _from_sensor_table(path: Path, model: str) -> Camera | None:
    """COLMAP knows sensors of old cameras by name; it decodes the whole photo for that."""
    reader = pycolmap.ImageReaderOptions(camera_model=model)
    try:
        with colmap_log():
            camera = pycolmap.infer_camera_from_image(path, reader)
    except ValueError as error:
        raise ImageError(f"COLMAP cannot read {path}. Remove or convert it.") from error
    return from_pycolmap(camera, "exif") if camera.has_prior_focal_length else None


def assign_known(
    sizes: Mapping[str, tuple[int, int]], known: KnownCameras, path: Path
) -> CameraAssignment:
    """The camera of each image among `known` ones, which were read from `path`.

    Raises ConfigError when an image has none, or when it could have two.
    """
    chosen = {name: _known_camera(name, size, known, path) for name, size in sizes.items()}
    used = sorted(set(chosen.values()))
    place = {camera_id: index for index, camera_id in enumerate(used)}
    index_of = {name: place[camera_id] for name, camera_id in chosen.items()}
    return CameraAssignment(tuple(known.cameras[camera_id] for camera_id in used), index_of)


def _known_camera(name: str, size: tuple[int, int], known: KnownCameras, path: Path) -> int:
    if name in known.id_of:
        camera = known.cameras[known.id_of[name]]
        if camera.size != size:
            raise ConfigError(
                f"`{name}` is {_written(size)} px, its camera in {path} "
                f"{_written(camera.size)} px. Give intrinsics for the photos as they are."
            )
        return known.id_of[name]
    fitting = [camera_id for camera_id, camera in known.cameras.items() if camera.size == size]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConfigError(
            f"`{name}` is {_written(size)} px, and {len(fitting)} cameras in {path} have that "
            f"size. Add an images.txt that says which photo has which camera."
        )
    listed = ", ".join(sorted({_written(camera.size) for camera in known.cameras.values()}))
    raise ConfigError(
        f"No camera for `{name}` ({_written(size)} px) in {path}; sizes known: {listed}."
    )


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
