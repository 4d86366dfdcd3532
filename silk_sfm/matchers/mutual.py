"""Mutual nearest neighbours by cosine similarity, with an optional ratio test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import normalize

from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.inputs import check_sizes, descriptor_tensor, to_matches
from silk_sfm.matching.mutual import mutual_nearest
from silk_sfm.matching.tiles import Similarity
from silk_sfm.options import check_choice
from silk_sfm.plugins import About


@dataclass(frozen=True)
class MutualOptions:
    """When a mutual nearest neighbour counts as a match."""

    ratio: float = 1.0
    """Keep a match when best / second-best distance (1 - cosine, among the keypoints of the second
    image) is below this; 1.0 keeps all."""

    similarity: Similarity = "float32"
    """In which numbers descriptors are multiplied. float16 and bfloat16 are for GPUs and for CPUs
    that compute with them; they change a few matches."""

    def __post_init__(self) -> None:
        check_choice("similarity", self.similarity, Similarity)
        if not 0 < self.ratio <= 1:
            raise ConfigError(f"ratio must lie in (0, 1], got {self.ratio}.")


class Mutual:
    """Matches are each other's nearest neighbour; the score is their cosine similarity."""

    about: ClassVar[About] = About(
        summary="Mutual nearest neighbours, with a ratio test if asked for",
        licence="Apache-2.0",
        paper="Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004",
    )
    Options = MutualOptions

    def __init__(self, options: MutualOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = device

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""
        return self.match(self.prepare(a), self.prepare(b))

    def prepare(self, features: LocalFeatures) -> torch.Tensor:
        """(N, D) float32 descriptors of unit length on the device."""
        return normalize(descriptor_tensor(features, self.device))

    def match(self, a: torch.Tensor, b: torch.Tensor) -> Matches:
        """Matches of two prepared images."""
        if len(a) == 0 or len(b) == 0:
            return Matches.empty()
        check_sizes(a, b)
        return to_matches(mutual_nearest(a, b, self.options.ratio, self.options.similarity))
