"""Corners by Shi and Tomasi, described by the pixels around them."""

from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm import About, LocalFeatures

RADIUS = 4
SIZE = (2 * RADIUS + 1) ** 2


@dataclass(frozen=True)
class PatchesOptions:
    """Corners with patches."""

    n_corners: int = 100
    """At most this many."""


class Patches:
    about = About("Corners described by their pixels", "MIT", "Shi, Tomasi, CVPR 1994")
    channels, descriptor_size, weights_digest = "grey", SIZE, ""
    Options = PatchesOptions

    def __init__(self, options: PatchesOptions, device: str) -> None:
        self.options = options

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        height, width = image.shape
        found = cv2.goodFeaturesToTrack(image, self.options.n_corners, 0.01, 3)
        if found is None:
            return LocalFeatures.empty(SIZE, (width, height))
        corners = found.reshape(-1, 2)
        scores = np.linspace(1, 0, len(corners), dtype=np.float32)  # OpenCV sorts by quality
        return LocalFeatures(corners, scores, self.describe(image, corners), (width, height))

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        around = np.pad(image, RADIUS, mode="edge")
        height, width = image.shape
        columns, rows = np.rint(np.clip(keypoints, 0, [width - 1, height - 1])).astype(int).T
        patches = np.stack(
            [
                around[row : row + 2 * RADIUS + 1, column : column + 2 * RADIUS + 1].ravel()
                for row, column in zip(rows, columns, strict=True)
            ]
            or [np.zeros((0, SIZE))]
        ).reshape(-1, SIZE)
        contrast = patches - patches.mean(axis=1, keepdims=True) + 1e-6
        return np.float32(contrast / np.linalg.norm(contrast, axis=1, keepdims=True))
