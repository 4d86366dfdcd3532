"""An image at several sizes, for methods whose descriptors see a window of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from silk_sfm.extractors.wrapped import Wrapped
from silk_sfm.features import LocalFeatures
from silk_sfm.images import resize
from silk_sfm.pixels import PixelGrid
from silk_sfm.plugins import Extractor

LEAST_SIDE = 64
"""Pixels of the shorter side: in less, methods see nothing that they could match."""


class Scaled(Wrapped):
    """An extractor that also looks at the image shrunk: features of all sizes together.

    A part of the scene that is twice as far away in one photo is found in the other one at half of
    its size. A place may become a keypoint at each size.
    """

    def __init__(self, extractor: Extractor, scales: Sequence[float]) -> None:
        """scales: sides relative to the image, in (0, 1], largest first."""
        super().__init__(extractor)
        self.scales = scales

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of the image, best score first; at a scale s the best s of what is found there.

        `scales` of a method that gives none are pixels of the image per pixel that was seen, and
        `uncertainty` is that of the largest size. A size below LEAST_SIDE adds nothing, but the
        largest one is always looked at. Raises ImageError when the method cannot use a size.
        """
        largest, *smaller = self.scales
        least = LEAST_SIDE / min(image.shape[:2])
        used = [largest, *(scale for scale in smaller if scale >= least)]
        return LocalFeatures.joined([self._at(image, scale) for scale in used]).best()

    def _at(self, image: np.ndarray, scale: float) -> LocalFeatures:
        """In pixels of the image."""
        height, width = image.shape[:2]
        seen = max(1, round(width * scale)), max(1, round(height * scale))
        found = self.extractor(resize(image, seen))
        if found.scales is None:
            found = replace(found, scales=np.ones(len(found), np.float32))
        return found.best(round(scale * len(found))).in_file(PixelGrid((width, height), seen))
