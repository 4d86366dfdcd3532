"""An image at several sizes, for methods whose descriptors see a window of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from silk_sfm.errors import ImageError
from silk_sfm.features import LocalFeatures
from silk_sfm.images import resize
from silk_sfm.pixels import PixelGrid
from silk_sfm.plugins import About, Extractor


class Scaled:
    """An extractor that also looks at the image shrunk: features of all sizes together.

    A part of the scene that is twice as far away in one photo is found in the other one at half of
    its size. A place may become a keypoint at each size.
    """

    def __init__(self, extractor: Extractor, scales: Sequence[float]) -> None:
        """scales: sides relative to the image, in (0, 1]."""
        self.extractor = extractor
        self.scales = sorted(scales, reverse=True)
        self.about: About = extractor.about
        self.channels: Literal["grey", "rgb"] = extractor.channels
        self.descriptor_size = extractor.descriptor_size
        self.weights_digest = extractor.weights_digest

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of the image, best score first; at a scale s the best s of what is found there.

        `scales` of a method that gives none are pixels of the image per pixel that was seen, and
        `uncertainty` is that of the largest size. Raises ImageError when the method cannot use the
        largest size; a smaller one that is too small for it adds nothing.
        """
        largest, *smaller = self.scales
        levels = [self._at(image, largest)]
        for scale in smaller:
            try:
                levels.append(self._at(image, scale))
            except ImageError:  # the same image in fewer pixels than the method sees at once
                break
        found = LocalFeatures.joined(levels)
        return found.select(np.argsort(-found.scores, kind="stable"))

    def _at(self, image: np.ndarray, scale: float) -> LocalFeatures:
        """In pixels of the image."""
        height, width = image.shape[:2]
        seen = max(1, round(width * scale)), max(1, round(height * scale))
        found = self.extractor(resize(image, seen))
        if found.scales is None:
            found = replace(found, scales=np.ones(len(found), np.float32))
        best = np.argsort(-found.scores, kind="stable")[: int(np.ceil(scale * len(found)))]
        return found.select(np.sort(best)).in_file(PixelGrid((width, height), seen))
