"""Sampling images at scattered positions, and textures with a pyramid of smaller copies."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

MARGIN = 2
"""Texels that are repeated around each copy, so that neighbours in the atlas do not mix."""
ROW = 1024
"""cv2.remap takes no list of positions, only images below 32,768 px: lists are cut into rows."""


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of (H, W) or (H, W, C) `image` at (N,) float32 pixels -> (N,) or (N, C)."""
    n = len(x)
    if n == 0:
        return np.zeros((0, *image.shape[2:]), image.dtype)
    maps = [np.resize(axis, (-(-n // ROW), min(ROW, n))) for axis in (x, y)]
    values = cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values.reshape(-1, *image.shape[2:])[:n])


@dataclass(frozen=True, eq=False)
class Texture:
    """A colour image with its halves, quarters, ... side by side.

    atlas: (H, W, 3) uint8 display colours
    corners: (L, 2) float32 atlas pixel (x, y) of the outer corner of each level
    scales: (L, 2) float32 atlas pixels per metre in x and y, level by level
    """

    atlas: np.ndarray
    corners: np.ndarray
    scales: np.ndarray

    def colours(self, uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N, 3) float32 colours at (N, 2) metres, blurred to (N,) `footprint` metres."""
        blur = np.log2(np.maximum(footprint * float(self.scales[0].mean()), 1))
        blur = np.minimum(blur, len(self.scales) - 1).astype(np.float32)
        lower = np.floor(blur).astype(int)
        upper = np.minimum(lower + 1, len(self.scales) - 1)
        weight = (blur - lower)[:, None]
        return np.asarray(
            self._level(uv, lower) * (1 - weight) + self._level(uv, upper) * weight, np.float32
        )

    def _level(self, uv: np.ndarray, level: np.ndarray) -> np.ndarray:
        xy = (uv * self.scales[level] + self.corners[level] - 0.5).astype(np.float32)
        return sample(self.atlas, xy[:, 0].copy(), xy[:, 1].copy())


def make_texture(image: np.ndarray, size: tuple[float, float]) -> Texture:
    """Texture of an (H, W, 3) uint8 image that covers `size` (width, height) metres."""
    levels = [image]
    while min(levels[-1].shape[:2]) >= 4:
        height, width = levels[-1].shape[:2]
        half = (max(1, width // 2), max(1, height // 2))
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
    padded = [_pad(level) for level in levels]
    lefts = np.cumsum([0] + [level.shape[1] for level in padded])
    atlas = np.zeros((padded[0].shape[0], lefts[-1], 3), np.uint8)
    for left, level in zip(lefts, padded, strict=False):
        atlas[: level.shape[0], left : left + level.shape[1]] = level
    sizes = np.array([level.shape[1::-1] for level in levels])
    corners = np.column_stack([lefts[:-1] + MARGIN, np.full(len(levels), MARGIN)])
    return Texture(atlas, corners.astype(np.float32), (sizes / np.array(size)).astype(np.float32))


def _pad(image: np.ndarray) -> np.ndarray:
    padded = cv2.copyMakeBorder(image, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
    return np.asarray(padded)
