"""Lines, dots and letters at sub-pixel positions, antialiased."""

from __future__ import annotations

import cv2
import numpy as np

SUBPIXEL_BITS = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX
BRIGHTNESS, COLOURFULNESS = 0.8, 0.45
"""Of a subdued photo, as shares of what they were."""
Colour = tuple[int, int, int]


def fixed_point(xy: np.ndarray) -> np.ndarray:
    """(..., 2) pixels -> int32 in the fixed-point format of OpenCV's drawing functions."""
    return np.asarray(np.rint(np.asarray(xy, np.float64) * 2**SUBPIXEL_BITS), np.int32)


def draw_line(
    image: np.ndarray, start: np.ndarray, end: np.ndarray, colour: Colour, width: int = 1
) -> None:
    """Draw from (2,) `start` to (2,) `end` onto `image`."""
    a, b = fixed_point(start).tolist(), fixed_point(end).tolist()
    cv2.line(image, a, b, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_dot(image: np.ndarray, centre: np.ndarray, radius: float, colour: Colour) -> None:
    """Draw a filled disc around (2,) `centre` onto `image`, each pixel by the share it covers."""
    limits = [image.shape[1], image.shape[0]]
    left, top = np.clip(np.floor(centre - radius), 0, limits).astype(int)
    right, bottom = np.clip(np.ceil(centre + radius) + 1, 0, limits).astype(int)
    y, x = np.ogrid[top:bottom, left:right]
    away = np.hypot(x - centre[0], y - centre[1])
    share = np.clip(radius + 0.5 - away, 0, 1)[:, :, None]
    patch = image[top:bottom, left:right]
    patch[...] = np.rint(patch + (np.array(colour) - patch) * share)


def draw_text(image: np.ndarray, text: str, bottom_left: tuple[int, int], colour: Colour) -> None:
    """Write small letters onto `image`; letters that the font lacks become `?`."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, bottom_left, FONT, 0.5, colour, 1, cv2.LINE_AA)


def subdued(image: np.ndarray) -> np.ndarray:
    """The (H, W, 3) uint8 photo darker and with half its colour, so that marks on it stand out."""
    grey = image.mean(axis=2, keepdims=True)
    return np.asarray(np.rint(BRIGHTNESS * (grey + COLOURFULNESS * (image - grey))), np.uint8)


def quality_colours(quality: np.ndarray) -> np.ndarray:
    """(N,) values -> (N, 3) uint8 RGB from violet (lowest) over green to yellow (highest)."""
    if len(quality) == 0:
        return np.zeros((0, 3), np.uint8)
    low, high = quality.min(), quality.max()
    steps = np.full(len(quality), 255.0) if high <= low else (quality - low) / (high - low) * 255
    ramp = np.rint(steps).astype(np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1])


def as_colour(rgb: np.ndarray) -> Colour:
    """(3,) numbers -> the tuple that OpenCV wants."""
    red, green, blue = (int(value) for value in rgb)
    return red, green, blue
