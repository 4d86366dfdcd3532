"""The sky: a panorama of infinitely far things, clouds and blue hills."""

from __future__ import annotations

import cv2
import numpy as np

from silk_sfm.synthetic.noise import value_noise
from silk_sfm.synthetic.texture import sample

LOWEST, HIGHEST = -0.25, 1.0
"""Tangent of the elevation at the lower and upper edge of the panorama."""
PANORAMA = (760, 4000)
"""Rows and columns; columns cover all azimuths, the middle one is north, the seam is south."""


def make_sky(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 panorama; columns are azimuths, rows tangents of elevations."""
    rows, columns = PANORAMA
    slope = np.linspace(HIGHEST, LOWEST, rows, dtype=np.float32)[:, None]
    image = _clear_sky(slope) * np.ones((1, columns, 1), np.float32)
    image = _clouds(image, slope, rng)
    for top, haze in ((0.12, 0.80), (0.075, 0.55), (0.04, 0.28)):
        image = _hills(image, slope, top, haze, rng)
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def _clear_sky(slope: np.ndarray) -> np.ndarray:
    height = (np.clip(slope, 0, 1) ** 0.55)[:, :, None]
    low, high = np.array([222, 228, 230], np.float32), np.array([64, 118, 186], np.float32)
    return np.asarray(low + (high - low) * height)


def _clouds(image: np.ndarray, slope: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Long clouds, white above and grey below, thinning out upwards."""
    rows, columns = PANORAMA
    narrow = value_noise((rows, columns // 3), 150, rng, 7)
    field = cv2.resize(narrow, (columns, rows), interpolation=cv2.INTER_CUBIC)
    share = np.clip((field - 0.25) * 0.9, 0, 1) * np.clip(slope * 6, 0, 1)
    below = np.roll(field, -26, axis=0) - field  # less cloud underneath: its lit edge
    white = np.array([226, 230, 234], np.float32) + np.clip(-below * 22, -14, 24)[:, :, None]
    return np.asarray(image + (white - image) * (0.88 * share[:, :, None]))


def _hills(
    image: np.ndarray, slope: np.ndarray, top: float, haze: float, rng: np.random.Generator
) -> np.ndarray:
    """One range of wooded hills, up to a slope of about `top`; `haze` is the share of blue."""
    rows, columns = PANORAMA
    first = int((HIGHEST - 2.2 * top) / (HIGHEST - LOWEST) * rows)
    shape = (rows - first, columns)
    outline = top * (0.75 + 0.28 * value_noise((4, columns), 420, rng, 9)[:1])
    share = np.clip((outline - slope[first:]) * 300, 0, 1)[:, :, None]
    forest = value_noise(shape, 10, rng, 3)[:, :, None]
    fields = value_noise(shape, 110, rng, 4)[:, :, None]
    near = np.array([92, 104, 66], np.float32) * np.exp(0.22 * forest + 0.16 * fields)
    colour = near + (np.array([168, 188, 208], np.float32) - near) * haze
    below = image[first:] + (colour - image[first:]) * share
    return np.concatenate([image[:first], below])


def sky_colours(panorama: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(N, 3) float32 display colours seen along (N, 3) world directions."""
    rows, columns = panorama.shape[:2]
    east, north, up = directions.T
    azimuth = np.arctan2(east, north) / (2 * np.pi) + 0.5
    slope = up / np.maximum(np.hypot(east, north), 1e-9)
    x = azimuth * columns - 0.5
    y = (HIGHEST - slope) / (HIGHEST - LOWEST) * (rows - 1)
    return sample(panorama, x.astype(np.float32), y.astype(np.float32)).astype(np.float32)
