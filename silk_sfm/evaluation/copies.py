"""Copies of a photo, turned in its plane or shrunk, with the exact homographies to them.

What a method loses on them it loses to rotation or scale alone: nothing else changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.homography_pairs import write_list
from silk_sfm.evaluation.planar import PlanarPair
from silk_sfm.evaluation.resized import write_png
from silk_sfm.geometry.homography import resized_homography
from silk_sfm.images import ImageFolder, Photo
from silk_sfm.pixels import PixelGrid


def turned_copy(photo: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a photo, turned clockwise on the screen, and the homography from 0 degrees.

    photo: (H, W) or (H, W, C) float32; the copy is the largest square that lies within the photo at
    any angle, so that no copy has a border or invented content. Lanczos, at places that OpenCV
    rounds to 1/32 px.
    """
    height, width = photo.shape[:2]
    side = int((min(height, width) - 1) / np.sqrt(2))
    turn = _turn_about((side - 1) / 2, degrees)
    shift = np.eye(3)
    shift[:2, 2] = (width - side) / 2, (height - side) / 2  # of the square in the photo
    to_photo = shift @ np.linalg.inv(turn)
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    copy = cv2.warpAffine(photo, to_photo[:2], (side, side), flags=flags)
    return np.clip(copy, 0, 1), turn


def shrunk_copy(photo: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """A photo shrunk by `factor` >= 1 through area means, and the homography to it."""
    if factor < 1:
        raise ConfigError(f"A copy is shrunk by a factor of at least 1, got {factor:g}.")
    height, width = photo.shape[:2]
    size = max(1, round(width / factor)), max(1, round(height / factor))
    full = PixelGrid((width, height), (width, height))
    homography = resized_homography(np.eye(3), full, PixelGrid((width, height), size))
    if factor == 1:
        return photo, homography
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA), homography


def write_copies(
    images: ImageFolder,
    out: Path,
    degrees: Sequence[float],
    factors: Sequence[float],
    longer_side: int,
) -> list[PlanarPair]:
    """Write turned and shrunk copies of all images and their list of pairs below `out`.

    Photos are first shrunk so that their longer side has at most `longer_side` pixels.
    A subset of the list is an angle (`turn 030`) or a factor (`scale 1.50`). Angles are measured
    from the copy at 0 degrees, factors from the photo itself.
    """
    pairs: list[PlanarPair] = []
    for name in images.names:
        photo = images.read(name, "rgb", longer_side)
        pairs += _write_turned(photo, name, out, degrees)
        pairs += _write_shrunk(photo, name, out, factors)
    write_list(out, pairs)
    return pairs


def _write_turned(photo: Photo, name: str, out: Path, degrees: Sequence[float]) -> list[PlanarPair]:
    start, _ = turned_copy(photo.pixels, 0)
    copies = {f"turn {angle:03.0f}": turned_copy(photo.pixels, angle) for angle in degrees}
    return _write_pairs(start, copies, f"turned/{_folder(name)}", out)


def _write_shrunk(photo: Photo, name: str, out: Path, factors: Sequence[float]) -> list[PlanarPair]:
    copies = {f"scale {factor:.2f}": shrunk_copy(photo.pixels, factor) for factor in factors}
    return _write_pairs(photo.pixels, copies, f"shrunk/{_folder(name)}", out)


def _write_pairs(
    start: np.ndarray,
    copies: dict[str, tuple[np.ndarray, np.ndarray]],
    folder: str,
    out: Path,
) -> list[PlanarPair]:
    """The pairs of the first copy with each of `copies` (by subset: pixels and homography)."""
    first = f"{folder}/start.png"
    write_png(start, out / first)
    pairs: list[PlanarPair] = []
    for subset, (pixels, homography) in copies.items():
        name = f"{folder}/{subset.replace(' ', '_')}.png"
        write_png(pixels, out / name)
        pairs.append(PlanarPair(first, name, homography, _size(start), _size(pixels), subset))
    return pairs


def _folder(name: str) -> str:
    """Photos of one name in different folders stay apart."""
    return Path(name).with_suffix("").as_posix().replace("/", "_")


def _size(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]


def _turn_about(centre: float, degrees: float) -> np.ndarray:
    """(3, 3) rotation about (centre, centre), from the x axis towards the y axis."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    turn[:2, 2] = centre - turn[:2, :2] @ (centre, centre)
    return turn
