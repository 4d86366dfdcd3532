"""Double-softmax matching, the matcher that SiLK was trained with.

The original code gives 1 - P as a distance (its threshold 0.9 is P > 0.1 here), infinite distances
after a ratio test and an IndexError for an empty image; here the score is P, and empty is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.inputs import check_similarity, check_sizes, descriptor_tensor, to_matches
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.tiles import Similarity
from silk_sfm.plugins import About


@dataclass(frozen=True)
class DoubleSoftmaxOptions:
    """How similarities become probabilities, and which of these count as a match."""

    temperature: float = 0.1
    """Divides the similarity before the softmax; smaller is more decided."""
    threshold: float = 0.3
    """Keep a match when its probability is above this, in [0, 1)."""
    descriptor_scale: float = 1.41
    """Length given to the stored unit descriptors; SiLK was trained with 1.41."""

    similarity: Similarity = "float32"
    """In which numbers descriptors are multiplied. float16 and bfloat16 are for GPUs and for CPUs
    that compute with them; they change a few matches."""

    def __post_init__(self) -> None:
        check_similarity(self.similarity)
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature must be above 0, got {self.temperature}.")
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold must lie in [0, 1), got {self.threshold}.")
        if not 0 < self.descriptor_scale < float("inf"):
            raise ConfigError(f"descriptor_scale must be above 0, got {self.descriptor_scale}.")


class DoubleSoftmax:
    """P = softmax over image a x softmax over image b of scale^2 * cosine / temperature.

    Matches are mutually best by P; the score is P.
    """

    about: ClassVar[About] = About(
        summary="Mutual best by double-softmax probability; the matcher of SiLK",
        licence="Apache-2.0",
        paper="Gleize, Wang, Feiszli, SiLK: Simple Learned Keypoints, ICCV 2023",
    )
    Options = DoubleSoftmaxOptions

    def __init__(self, options: DoubleSoftmaxOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = device

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""
        return self.match(self.prepare(a), self.prepare(b))

    def prepare(self, features: LocalFeatures) -> torch.Tensor:
        """(N, D) float32 descriptors on the device."""
        return descriptor_tensor(features, self.device)

    def match(self, a: torch.Tensor, b: torch.Tensor) -> Matches:
        """Matches of two prepared images."""
        if len(a) == 0 or len(b) == 0:
            return Matches.empty()
        check_sizes(a, b)
        options = self.options
        temperature = options.temperature / options.descriptor_scale**2
        return to_matches(double_softmax(a, b, temperature, options.threshold, options.similarity))
