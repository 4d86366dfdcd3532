"""Matching with the second image turned as fits best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.pixels import QUARTER_TURNS, PixelGrid, upright_size
from silk_sfm.plugins import About, Matcher


class BestTurn:
    """A matcher that tries image b upright and turned by 90, 180 and 270 degrees.

    The turn with the most matches is kept, the upright one when they are equal. Features without
    `turned` descriptors are matched as they are.
    """

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.about: About = matcher.about

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""
        upright = self.matcher(a, b)
        if b.turned is None:
            return upright
        tried = [upright, *(self._turned(a, b, each, row) for row, each in enumerate(b.turned))]
        return max(tried, key=len)  # the first of the largest

    def _turned(
        self, a: LocalFeatures, b: LocalFeatures, descriptors: np.ndarray, row: int
    ) -> Matches:
        """Matches with b after a turn; keypoints that have no descriptor then stay out."""
        seen = turned_features(b, descriptors, row)
        rows = np.flatnonzero(seen.descriptors.any(axis=1))
        matches = self.matcher(a, seen.select(rows))
        indices = np.stack([matches.indices[:, 0], rows[matches.indices[:, 1]]], axis=1)
        return Matches(indices.astype(np.int32), matches.scores)


def turned_features(features: LocalFeatures, descriptors: np.ndarray, row: int) -> LocalFeatures:
    """The image after row + 1 quarter turns, with its (N, D) descriptors.

    Places, directions and size turn, too: some matchers look at them.
    """
    orientation = QUARTER_TURNS[row]
    size = upright_size(features.image_size, orientation)
    grid = PixelGrid(size, features.image_size, orientation)
    return replace(features, descriptors=descriptors, turned=None).in_file(grid)
