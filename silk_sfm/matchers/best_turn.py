"""Matching with the second image turned as fits best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from silk_sfm.features import LocalFeatures, Matches
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
        tried = [upright, *(self._turned(a, b, descriptors) for descriptors in b.turned)]
        return max(tried, key=len)  # the first of the largest

    def _turned(self, a: LocalFeatures, b: LocalFeatures, descriptors: np.ndarray) -> Matches:
        """Matches with the descriptors of b after a turn; keypoints that have none stay out."""
        rows = np.flatnonzero(descriptors.any(axis=1))
        seen = replace(b, descriptors=descriptors, turned=None).select(rows)
        matches = self.matcher(a, seen)
        indices = np.stack([matches.indices[:, 0], rows[matches.indices[:, 1]]], axis=1)
        return Matches(indices.astype(np.int32), matches.scores)
