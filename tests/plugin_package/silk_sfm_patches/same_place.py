"""Matches keypoints that lie at the same place in both images: for a camera that stands still."""

from dataclasses import dataclass

import numpy as np

from silk_sfm import About, LocalFeatures, Matches


@dataclass(frozen=True)
class SamePlaceOptions:
    """How far things may move."""

    most_px: float = 1.0
    """Largest distance of a match in pixels."""


class SamePlace:
    about = About("Keypoints at the same place", "MIT")
    Options = SamePlaceOptions

    def __init__(self, options: SamePlaceOptions, device: str) -> None:
        self.options = options

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        if len(a) == 0 or len(b) == 0:
            return Matches.empty()
        distances = np.linalg.norm(a.keypoints[:, None] - b.keypoints[None], axis=2)
        nearest = distances.argmin(axis=1)
        mutual = distances.argmin(axis=0)[nearest] == np.arange(len(a))
        rows = np.flatnonzero(mutual & (distances.min(axis=1) <= self.options.most_px))
        pairs = np.stack([rows, nearest[rows]], axis=1).astype(np.int32)
        return Matches(pairs, np.ones(len(pairs), np.float32))
