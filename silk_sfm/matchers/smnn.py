"""Mutual nearest neighbours that pass the ratio test in both directions, as kornia's match_smnn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import normalize

from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.inputs import descriptor_tensors, to_matches
from silk_sfm.matching.mutual import mutual_nearest
from silk_sfm.plugins import About


@dataclass(frozen=True)
class SmnnOptions:
    """When a mutual nearest neighbour counts as a match."""

    ratio: float = 0.95
    """Keep a match when best / second-best distance (Euclidean) is below this in both images."""

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ConfigError(f"ratio must lie in (0, 1], got {self.ratio}.")


class Smnn:
    """Each other's nearest neighbour, clearly so in both images; the score is their cosine.

    The same matches as kornia's `match_smnn`, without the matrix of all distances. As there, an
    image with a single keypoint has no match: there is nothing to be clearer than.
    """

    about: ClassVar[About] = About(
        summary="Mutual nearest neighbours with the ratio test in both directions",
        licence="Apache-2.0",
        paper="Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004",
    )
    Options = SmnnOptions

    def __init__(self, options: SmnnOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = device

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""
        if len(a) < 2 or len(b) < 2:
            return Matches.empty()
        rows, columns = map(normalize, descriptor_tensors(a, b, self.device))
        squared = self.options.ratio**2  # 1 - cosine is half the squared distance
        forth = mutual_nearest(rows, columns, squared)
        back = mutual_nearest(columns, rows, squared)
        partner = torch.full((len(a),), -1, device=rows.device)
        partner[back.columns] = back.rows
        return to_matches(forth.select(partner[forth.rows] == forth.columns))
