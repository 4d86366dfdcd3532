"""DAISY: histograms of gradients in a flower of blurred samples, at any place.

Numbers and borders are those of OpenCV's implementation (contrib, which its wheels lack): radius
15 px, 3 rings of 8 samples, 8 directions, no turning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.extractors.inputs import check_keypoints
from silk_sfm.features import LocalFeatures
from silk_sfm.images import check_grey
from silk_sfm.options import check_at_least
from silk_sfm.plugins import About

RADIUS_PX = 15.0
N_RINGS = 3
N_SAMPLES = 8
N_DIRECTIONS = 8
SIZE = (1 + N_RINGS * N_SAMPLES) * N_DIRECTIONS

FIRST_BLUR_PX = 0.5
"""Before the gradients are taken."""
GRADIENT_BLUR_PX = 1.6
"""Of the gradients, together with the first blur."""
RING_BLURS_PX = tuple(RADIUS_PX * (ring + 1) / N_RINGS / 2 for ring in range(N_RINGS))
"""Of the samples of each ring: half its radius; the centre is as the first ring."""


@dataclass(frozen=True)
class DaisyOptions:
    """Corners (Shi, Tomasi) as keypoints; use `--detector` for keypoints of another method."""

    top_k: int = 8000
    """Keep at most this many of the strongest corners."""
    quality: float = 0.001
    """Smallest strength of a corner, as a share of the strongest one's, in (0, 1)."""
    min_distance: float = 4.0
    """Pixels between corners at least."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 1)
        if not 0 < self.quality < 1:
            raise ConfigError(f"quality must lie in (0, 1), got {self.quality}.")
        if not 0 <= self.min_distance < float("inf"):
            raise ConfigError(f"min_distance must be at least 0, got {self.min_distance}.")


class Daisy:
    """DAISY descriptors on the CPU; holds 24 maps of the image's size while it works."""

    about: ClassVar[About] = About(
        summary="DAISY: a dense descriptor, made to describe any place (`--descriptor daisy`)",
        licence="Apache-2.0; no weights",
        paper="Tola, Lepetit, Fua, DAISY: An Efficient Dense Descriptor Applied to Wide-Baseline "
        "Stereo, PAMI 2010",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size: ClassVar[int] = SIZE
    weights_digest: ClassVar[str] = ""
    Options = DaisyOptions

    def __init__(self, options: DaisyOptions, device: str = "cpu") -> None:
        self.options = options

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, strongest corner first."""
        check_grey(image, "DAISY")
        height, width = image.shape
        strength = cv2.cornerMinEigenVal(image, 3)
        options = self.options
        found = cv2.goodFeaturesToTrack(
            image, options.top_k, options.quality, options.min_distance, blockSize=3
        )
        if found is None or strength.max() <= 0:
            return LocalFeatures.empty(SIZE, (width, height))
        keypoints = found.reshape(-1, 2).astype(np.float32)
        columns, rows = keypoints.astype(int).T
        scores = strength[rows, columns]
        order = np.argsort(-scores, kind="stable")
        features = LocalFeatures(
            keypoints, scores, self.describe(image, keypoints), (width, height)
        )
        return features.select(order)

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, 200) float32 descriptors of length 1 at (N, 2) pixels of the image.

        Samples beyond the image are zero, as in OpenCV; a place without any gradient has zeros.
        """
        check_keypoints(keypoints)
        check_grey(image, "DAISY")
        maps = gradient_maps(image)
        last = np.array([image.shape[1] - 1, image.shape[0] - 1], np.float32)
        places = np.clip(keypoints, 0, last).astype(np.float64)
        parts = [_sample(maps[0], places)]
        for ring, layer in enumerate(maps):
            radius = RADIUS_PX * (ring + 1) / N_RINGS
            for sample in range(N_SAMPLES):
                angle = 2 * np.pi * sample / N_SAMPLES
                moved = places + radius * np.array([np.cos(angle), np.sin(angle)])
                parts.append(_sample(layer, moved))
        described = np.concatenate(parts, axis=1)  # (N, 25 * 8)
        length = np.linalg.norm(described, axis=1, keepdims=True)
        return np.asarray(described / np.maximum(length, np.finfo(np.float32).tiny), np.float32)


def gradient_maps(image: np.ndarray) -> list[np.ndarray]:
    """For each ring the (H, W, 8) float32 gradients in 8 directions, blurred as its samples are."""
    smooth = _blur(image, FIRST_BLUR_PX, 5)
    slope = np.array([[-0.5, 0, 0.5]], np.float32)
    border = cv2.BORDER_REPLICATE
    dx = cv2.filter2D(smooth, cv2.CV_32F, slope, borderType=border)
    dy = cv2.filter2D(smooth, cv2.CV_32F, slope.T.copy(), borderType=border)
    angles = 2 * np.pi * np.arange(N_DIRECTIONS, dtype=np.float32) / N_DIRECTIONS
    layer = dx[:, :, None] * np.cos(angles) + dy[:, :, None] * np.sin(angles)
    layer = np.maximum(layer, 0).astype(np.float32)
    layer = _blur(layer, np.sqrt(GRADIENT_BLUR_PX**2 - FIRST_BLUR_PX**2))
    maps, before = [], 0.0
    for sigma in RING_BLURS_PX:
        layer = _blur(layer, np.sqrt(sigma**2 - before**2))
        maps.append(layer)
        before = sigma
    return maps


def _blur(image: np.ndarray, sigma: float, size: int = 0) -> np.ndarray:
    """Gaussian of `size` pixels, 0: the odd one of 5 sigma or next above."""
    size = size or max(3, int(5 * sigma) | 1)
    kernel = cv2.getGaussianKernel(size, sigma, cv2.CV_32F)
    return np.asarray(
        cv2.sepFilter2D(image, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    )


def _sample(layer: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(N, 8) of an (H, W, 8) map at (N, 2) pixels, bilinear.

    Zero beyond the image and, as in OpenCV, in its last row and column but one.
    """
    height, width = layer.shape[:2]
    x, y = places.T
    inside = (x >= 0) & (y >= 0) & (x < width - 2) & (y < height - 2)
    values = np.zeros((len(places), N_DIRECTIONS), np.float32)
    column, row = places[inside].astype(int).T
    right, down = (places[inside] - np.stack([column, row], axis=1)).astype(np.float32).T[..., None]
    above = (1 - right) * layer[row, column] + right * layer[row, column + 1]
    below = (1 - right) * layer[row + 1, column] + right * layer[row + 1, column + 1]
    values[inside] = (1 - down) * above + down * below
    return values
