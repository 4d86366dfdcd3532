"""The one home of pixel coordinates: resizing, EXIF orientation, COLMAP's origin.

Inside silk-sfm (x, y) counts pixels of the file's own (raw) grid; (0, 0) is the centre of the
top-left pixel. COLMAP's origin is the outer corner of that pixel. Nothing else adds 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ORIENTATIONS = range(1, 9)

QUARTER_TURNS = (6, 3, 8)
"""EXIF orientations of an upright image after 1, 2, 3 quarter turns counter-clockwise."""


def to_colmap(xy: np.ndarray) -> np.ndarray:
    """(N, 2) pixels -> (N, 2) COLMAP pixels, float64; the top-left centre becomes (0.5, 0.5)."""
    return xy.astype(np.float64) + 0.5


def from_colmap(xy_colmap: np.ndarray) -> np.ndarray:
    """(N, 2) COLMAP pixels -> (N, 2) pixels, float64; (0.5, 0.5) becomes (0, 0)."""
    return xy_colmap.astype(np.float64) - 0.5


def upright_size(raw_size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(width, height) of an image after its EXIF `orientation` (1..8) was applied."""
    width, height = raw_size
    return (height, width) if orientation >= 5 else (width, height)


def raw_from_upright(xy: np.ndarray, raw_size: tuple[int, int], orientation: int) -> np.ndarray:
    """(N, 2) pixels of the upright image -> (N, 2) pixels of the raw file.

    `raw_size` is (width, height) of the raw file. Orientations as in EXIF 2.3, tag 0x0112.
    """
    right, bottom = raw_size[0] - 1, raw_size[1] - 1
    x, y = xy[:, 0], xy[:, 1]
    raw = {
        1: (x, y),
        2: (right - x, y),
        3: (right - x, bottom - y),
        4: (x, bottom - y),
        5: (y, x),
        6: (y, bottom - x),
        7: (right - y, bottom - x),
        8: (right - y, x),
    }[orientation]
    return np.stack(raw, axis=1).astype(xy.dtype, copy=False)


def upright_from_raw(xy: np.ndarray, raw_size: tuple[int, int], orientation: int) -> np.ndarray:
    """(N, 2) pixels of the raw file -> (N, 2) pixels of the upright image."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)  # all others are their own inverse
    return raw_from_upright(xy, upright_size(raw_size, orientation), inverse)


@dataclass(frozen=True)
class PixelGrid:
    """How the pixels of a network's input lie in the raw file.

    raw_size: (width, height) of the file; input_size: (width, height) of the resized upright image.
    """

    raw_size: tuple[int, int]
    input_size: tuple[int, int]
    orientation: int = 1

    @property
    def scale(self) -> np.ndarray:
        """(2,) upright pixels of the file per input pixel, in x and y."""
        upright = upright_size(self.raw_size, self.orientation)
        return np.asarray(np.divide(upright, self.input_size), np.float64)

    @property
    def mean_scale(self) -> float:
        """Raw pixels per input pixel: turns an uncertainty of the input into one of the file."""
        return float(self.scale.mean())

    def to_raw(self, xy_input: np.ndarray) -> np.ndarray:
        """(N, 2) input pixels -> (N, 2) raw pixels, in the dtype given."""
        upright = (xy_input.astype(np.float64) + 0.5) * self.scale - 0.5
        raw = raw_from_upright(upright, self.raw_size, self.orientation)
        return np.asarray(raw, xy_input.dtype)

    def turn_to_raw(self, degrees: np.ndarray) -> np.ndarray:
        """(N,) directions in the input -> the same in the raw file; degrees from x towards y."""
        radians = np.deg2rad(degrees.astype(np.float64))
        heads = np.stack([np.cos(radians), np.sin(radians)], axis=1)
        x, y = (self.to_raw(heads) - self.to_raw(np.zeros((1, 2)))).T
        return np.asarray(np.rad2deg(np.arctan2(y, x)) % 360, degrees.dtype)

    def to_input(self, xy_raw: np.ndarray) -> np.ndarray:
        """(N, 2) raw pixels -> (N, 2) input pixels, in the dtype given."""
        upright = upright_from_raw(xy_raw.astype(np.float64), self.raw_size, self.orientation)
        return np.asarray((upright + 0.5) / self.scale - 0.5, xy_raw.dtype)


def size_within(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """(width, height) shrunk so that the longer side is at most `max_side`; None keeps it."""
    longer = max(size)
    if max_side is None or longer <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longer)) for side in size)
    return width, height
