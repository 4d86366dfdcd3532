"""Descriptors of the image turned by quarters, for methods that match upright photos only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from silk_sfm.extractors.wrapped import Wrapped
from silk_sfm.features import LocalFeatures
from silk_sfm.pixels import QUARTER_TURNS, raw_from_upright, upright_size
from silk_sfm.plugins import Describer

TURNS = (1, 2, 3)
"""Quarter turns counter-clockwise."""

SAME_PLACE_PX = 1.0
"""A keypoint of the turned image is one of the upright image when it is this close."""


class Turned(Wrapped):
    """An extractor that also describes its keypoints with the image turned: `features.turned`.

    Keypoints stay those of the upright image, so that a match means the same keypoint whichever
    turn a pair of images needs. A method that can describe any place does so at exactly these; of
    another, the nearest keypoint of the turned image within a pixel gives the descriptor.
    """

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of the image with `turned` descriptors."""
        found = self.extractor(image)
        turned = np.zeros((len(TURNS), *found.descriptors.shape), np.float32)
        if len(found):
            for row, turn in enumerate(TURNS):
                turned[row] = self._describe(image, found.keypoints, turn)
        return replace(found, turned=turned)

    def _describe(self, image: np.ndarray, keypoints: np.ndarray, turn: int) -> np.ndarray:
        """(N, D) descriptors at (N, 2) pixels of the upright image, after `turn` quarter turns."""
        pixels = np.ascontiguousarray(np.rot90(image, turn))
        height, width = image.shape[:2]
        places = turn_points(keypoints, (width, height), turn)
        if isinstance(self.extractor, Describer):
            return self.extractor.describe(pixels, places)
        return _of_nearest(self.extractor(pixels), places)


def turn_points(xy: np.ndarray, size: tuple[int, int], turn: int) -> np.ndarray:
    """(N, 2) pixels of an image of (width, height) -> pixels after quarter turns as `np.rot90`."""
    if turn == 0:
        return xy
    orientation = QUARTER_TURNS[turn - 1]
    return raw_from_upright(xy, upright_size(size, orientation), orientation)


def _of_nearest(found: LocalFeatures, places: np.ndarray) -> np.ndarray:
    """(N, D) descriptors of the keypoints nearest to (N, 2) places; zeros where none is near."""
    described = np.zeros((len(places), found.descriptors.shape[1]), np.float32)
    if len(found) == 0:
        return described
    for row, place in enumerate(places):
        distances = np.abs(found.keypoints - place).max(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= SAME_PLACE_PX:
            described[row] = found.descriptors[nearest]
    return described
