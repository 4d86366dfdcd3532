"""Folders of photos: finding, reading, turning upright, grey, masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from silk_sfm.errors import ImageError
from silk_sfm.pixels import PixelGrid, size_within

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".ppm", ".pgm", ".webp", ".bmp"})
EXIF_ORIENTATION = 0x0112
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601 luma of R, G, B: the formula of SiLK's training."""

Channels = Literal["grey", "rgb"]


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright image, ready for an extractor.

    pixels: (H, W) grey or (H, W, 3) RGB, float32 in 0..1
    grid: how these pixels lie in the raw file
    """

    pixels: np.ndarray
    grid: PixelGrid


@dataclass(frozen=True)
class ImageFolder:
    """The images below a folder, by their names relative to it (with `/`), sorted."""

    root: Path
    names: tuple[str, ...]

    @staticmethod
    def open(root: Path, leave_out: Sequence[Path | None] = ()) -> ImageFolder:
        """Find all images below `root`, in subfolders too, but not in the folders `leave_out`.

        Raises ImageError when the folder is missing or holds no image, or when a file name is no
        UTF-8.
        """
        if not root.is_dir():
            raise ImageError(f"No folder {root}. Give the folder that holds the photos.")
        names = sorted(_image_names(root, {path.resolve() for path in leave_out if path}))
        if not names:
            raise ImageError(
                f"No image in {root} or below it. Known kinds: {', '.join(sorted(SUFFIXES))}."
            )
        return ImageFolder(root, tuple(names))

    def path(self, name: str) -> Path:
        """Where the image lies."""
        return self.root / name

    def read(self, name: str, channels: Channels, max_side: int | None = None) -> Photo:
        """Read an image upright, shrunk so that its longer side is at most `max_side` pixels.

        Raises ImageError when the file is empty, cut off or no image.
        """
        raw, orientation = decode(self.path(name))
        upright = grey(raw) if channels == "grey" else raw
        upright = turn_upright(upright, orientation)
        raw_size = (raw.shape[1], raw.shape[0])
        input_size = size_within((upright.shape[1], upright.shape[0]), max_side)
        return Photo(resize(upright, input_size), PixelGrid(raw_size, input_size, orientation))


@dataclass(frozen=True)
class MaskFolder:
    """Masks in COLMAP's convention: `photo.jpg.png` beside the same path, 0 = drop keypoints."""

    root: Path

    @staticmethod
    def open(root: Path) -> MaskFolder:
        """Raises ImageError when the folder is missing."""
        if not root.is_dir():
            raise ImageError(f"No mask folder {root}.")
        return MaskFolder(root)

    def check_names(self, names: Sequence[str]) -> None:
        """Raises ImageError when no image has a mask: then the masks are named in another way."""
        if not any((self.root / f"{name}.png").exists() for name in names):
            raise ImageError(
                f"No mask in {self.root} fits an image: the mask of `{names[0]}` is named "
                f"`{names[0]}.png`."
            )

    def keeps(self, name: str, keypoints: np.ndarray, raw_size: tuple[int, int]) -> np.ndarray:
        """(N,) bool: which of (N, 2) raw pixel positions lie on a part to keep; all without a mask.

        Raises ImageError when the mask has another size than the image.
        """
        path = self.root / f"{name}.png"
        if not path.exists():
            return np.ones(len(keypoints), bool)
        mask = decode(path)[0].max(axis=2) > 0
        if mask.shape[::-1] != raw_size:
            raise ImageError(
                f"Mask {path} is {mask.shape[1]} x {mask.shape[0]} px, its image {raw_size[0]} x "
                f"{raw_size[1]} px (before any EXIF rotation). Make them equal."
            )
        column, row = np.rint(keypoints).astype(int).T
        inside = np.clip(row, 0, mask.shape[0] - 1), np.clip(column, 0, mask.shape[1] - 1)
        return np.asarray(mask[inside])


def _image_names(root: Path, leave_out: set[Path]) -> list[str]:
    found: list[str] = []
    for folder, inner, files in os.walk(root, followlinks=True):
        inner[:] = [name for name in inner if (Path(folder) / name).resolve() not in leave_out]
        below = Path(folder).relative_to(root)
        found += [(below / name).as_posix() for name in files if _is_image(name)]
    for name in found:
        _check_utf8(name)
    return found


def _check_utf8(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ImageError(
            f"The file name {os.fsencode(name)!r} is no UTF-8 and cannot be stored. Rename it."
        ) from None


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Read an image file: (H, W, 3) float32 RGB in 0..1 in the file's own grid, EXIF orientation.

    Transparent pixels are blended onto white. 16-bit images keep their precision.
    Raises ImageError when the file is missing, empty, cut off or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"Cannot read {path}: {error.strerror}.") from error
    if not data:
        raise ImageError(f"{path} is empty (0 bytes). Copy it again or remove it.")
    try:
        with open_image(BytesIO(data)) as image:
            eight_bit = _is_eight_bit(image)  # before getexif, which may load the pixels
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            pixels = _pillow_rgba(image) if eight_bit else _opencv_rgba(data, path)
    except UnidentifiedImageError:
        raise ImageError(f"{path} is no image that can be read. Remove or convert it.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path} is damaged: {error}. Copy it again or remove it.") from error
    return _on_white(pixels), orientation if orientation in range(1, 9) else 1


def open_image(file: Path | BytesIO) -> Image.Image:
    """Open without Pillow's limit of 179 million pixels: photos here are the user's own."""
    Image.MAX_IMAGE_PIXELS = None
    return Image.open(file)


def _is_eight_bit(image: Image.Image) -> bool:
    """Pillow reads 16-bit colour as 8 bits and cannot read 16-bit colour TIFF: OpenCV does."""
    decoders = str(getattr(image, "tile", ""))
    eight_bit_modes = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
    return image.mode in eight_bit_modes and ";16" not in decoders


def _pillow_rgba(image: Image.Image) -> np.ndarray:
    """(H, W, 3 or 4) float32 in 0..1."""
    transparent = image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB"), np.float32) / 255


def _opencv_rgba(data: bytes, path: Path) -> np.ndarray:
    """(H, W, 3 or 4) float32 in 0..1 of a 16-bit image."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    largest = {"uint8": 255, "uint16": 65535}.get(str(getattr(pixels, "dtype", None)))
    if pixels is None or largest is None:
        raise ImageError(f"{path} has a kind of pixel that cannot be read. Convert it to 16 bits.")
    unit = pixels.astype(np.float32) / largest
    if unit.ndim == 2:
        return np.repeat(unit[:, :, None], 3, axis=2)
    order = [2, 1, 0, 3][: unit.shape[2]]  # OpenCV gives B, G, R
    return np.asarray(unit[:, :, order])


def _on_white(rgba: np.ndarray) -> np.ndarray:
    if rgba.shape[2] == 3:
        return rgba
    alpha = rgba[:, :, 3:]
    return np.asarray(rgba[:, :, :3] * alpha + (1 - alpha), np.float32)


def grey(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB -> (H, W) grey, both float32 in 0..1, by ITU-R BT.601."""
    return np.asarray(rgb @ GREY_WEIGHTS, np.float32)


def check_grey(image: np.ndarray, method: str) -> None:
    """Raises ImageError unless an extractor's image is (H, W) float32 in 0..1, with pixels."""
    if image.ndim != 2 or image.dtype != np.float32 or 0 in image.shape:
        raise ImageError(
            f"{method} needs an (H, W) float32 grey image, got {image.shape} {image.dtype}."
        )
    _check_range(image, method)


def check_rgb(image: np.ndarray, method: str) -> None:
    """Raises ImageError unless an extractor's image is (H, W, 3) float32 in 0..1, with pixels."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or 0 in image.shape:
        raise ImageError(
            f"{method} needs an (H, W, 3) float32 RGB image, got {image.shape} {image.dtype}."
        )
    _check_range(image, method)


def _check_range(image: np.ndarray, method: str) -> None:
    """Resampling may overshoot a little; NaN is out of range, too."""
    if not (image.min() >= -0.5 and image.max() <= 1.5):
        raise ImageError(f"{method} needs values in 0..1, got {image.min()} to {image.max()}.")


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF `orientation` (1..8) to the first two axes of an image."""
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shrink an image to (width, height) by area means: x becomes (x + 0.5) s - 0.5."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image file in its own grid, from its header alone.

    Raises ImageError when the file is no image.
    """
    try:
        with open_image(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path} is no image that can be read. Remove or convert it.") from error
