"""Copies of images at the sizes that a protocol evaluates at, written without loss as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from silk_sfm.errors import DatasetError, ImageError
from silk_sfm.files import whole_file
from silk_sfm.images import ImageFolder, decode, image_size
from silk_sfm.pixels import PixelGrid

Size = tuple[int, int]
"""(width, height) in pixels."""
Interpolation = Literal["area", "linear"]
_FLAGS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}


def resized_copies(
    images: ImageFolder, sizes: Mapping[str, Size], out: Path, interpolation: Interpolation
) -> ImageFolder:
    """Write each image of `sizes` below `out` at its size, as 8-bit PNG; returns these copies.

    A copy is named as its image, with the suffix `.png`. Copies of the right size that are younger
    than their image are kept.
    """
    for name, size in sizes.items():
        target = out / copy_name(name)
        if not _is_current(target, images.path(name), size):
            _write_copy(images.path(name), target, size, interpolation)
    return ImageFolder(out, tuple(sorted(map(copy_name, sizes))))


def copy_name(name: str) -> str:
    """The name of the resized copy of an image."""
    return str(Path(name).with_suffix(".png").as_posix())


def copy_grid(images: ImageFolder, name: str, size: Size) -> PixelGrid:
    """How the pixels of a copy lie in its image."""
    return PixelGrid(read_size(images.path(name)), size)


def read_size(path: Path) -> Size:
    """(width, height) of an image of a data set. Raises DatasetError when it cannot be read."""
    try:
        return image_size(path)
    except ImageError as error:
        raise DatasetError(f"The data set has an image that cannot be used: {error}") from error


def write_png(pixels: np.ndarray, target: Path) -> None:
    """Write (H, W) grey or (H, W, 3) RGB float32 in 0..1 as 8-bit PNG, whole or not at all."""
    eight_bit = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    if eight_bit.ndim == 3:
        eight_bit = np.ascontiguousarray(eight_bit[:, :, ::-1])  # OpenCV takes B, G, R
    _, data = cv2.imencode(".png", eight_bit)
    with whole_file(target) as part:
        part.write_bytes(data.tobytes())


def _write_copy(source: Path, target: Path, size: Size, interpolation: Interpolation) -> None:
    pixels, _ = decode(source)
    is_grey = bool((pixels == pixels[:, :, :1]).all())
    resized = cv2.resize(pixels, size, interpolation=_FLAGS[interpolation])
    write_png(resized[:, :, 0] if is_grey else resized, target)


def _is_current(copy: Path, source: Path, size: Size) -> bool:
    return (
        copy.exists()
        and copy.stat().st_mtime >= source.stat().st_mtime
        and image_size(copy) == size
    )
