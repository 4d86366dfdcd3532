"""Photos for the page: small upright JPEGs within a budget, and keypoints in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from silk_sfm.errors import ImageError
from silk_sfm.images import EXIF_ORIENTATION, decode, image_size, resize, turn_upright
from silk_sfm.pixels import ORIENTATIONS, PixelGrid, size_within, upright_size

THUMBNAILS = ((480, 82), (400, 80), (320, 76), (256, 72), (208, 66), (160, 58), (128, 50), (96, 40))
"""Longer side in pixels and JPEG quality, from the best to the smallest that is still of use."""

HOPE = 1.2
"""A step is tried when its JPEG would be that much too large at the quality of the last one."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A small upright copy of a photo.

    pixels: (H, W, 3) uint8 RGB; grid: how they lie in the raw file
    """

    pixels: np.ndarray
    grid: PixelGrid

    def within(self, max_side: int) -> Shrunk:
        """A copy whose longer side is at most `max_side` pixels."""
        size = size_within(self.grid.input_size, max_side)
        grid = PixelGrid(self.grid.raw_size, size, self.grid.orientation)
        return Shrunk(resize(self.pixels, size), grid)


def read_shrunk(path: Path, max_side: int) -> Shrunk:
    """Read a photo upright, its longer side at most `max_side` pixels.

    JPEG is decoded at a fraction of its size. Raises ImageError when it cannot be read.
    """
    raw_size = image_size(path)
    pixels, orientation = _jpeg(path, max_side) or _decoded(path)
    upright = turn_upright(pixels, orientation)
    size = size_within(upright_size(raw_size, orientation), max_side)
    return Shrunk(resize(upright, size), PixelGrid(raw_size, size, orientation))


def _jpeg(path: Path, max_side: int) -> tuple[np.ndarray, int] | None:
    """(h, w, 3) uint8 in the file's own grid and its EXIF orientation; None of other kinds."""
    try:
        with Image.open(path) as image:
            if image.format != "JPEG":
                return None
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            image.draft("RGB", (max_side, max_side))
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path} is damaged: {error}. Copy it again or remove it.") from error
    return pixels, orientation if orientation in ORIENTATIONS else 1


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    pixels, orientation = decode(path)
    return np.asarray(np.rint(pixels * 255), np.uint8), orientation


def jpeg_bytes(pixels: np.ndarray, quality: int) -> bytes:
    """An (H, W, 3) uint8 RGB picture as JPEG."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), flags)
    return encoded.tobytes()


def thumbnail(path: Path, most_bytes: int) -> tuple[bytes, PixelGrid] | None:
    """The best JPEG of `THUMBNAILS` with at most `most_bytes`; None when none is so small.

    Raises ImageError when the photo cannot be read.
    """
    shrunk, n_bytes, side = read_shrunk(path, THUMBNAILS[0][0]), 0, 1
    for max_side, quality in THUMBNAILS:
        too_large = n_bytes * (max_side / side) ** 2 > HOPE * most_bytes
        if too_large and max_side > THUMBNAILS[-1][0]:
            continue  # encoding it would be for nothing
        shrunk = shrunk.within(max_side)
        encoded = jpeg_bytes(shrunk.pixels, quality)
        if len(encoded) <= most_bytes:
            return encoded, shrunk.grid
        n_bytes, side = len(encoded), max_side
    return None


def unit_positions(pixels: np.ndarray, grid: PixelGrid) -> np.ndarray:
    """(N, 2) raw pixels -> (N, 2) float64 shares of the upright photo's width and height."""
    upright = grid.to_input(pixels.astype(np.float64))
    return np.asarray((upright + 0.5) / grid.input_size)
