"""Double-softmax matching, the matcher that SiLK was trained with.

The original code gives 1 - P as a distance (its threshold 0.9 is P > 0.1 here), infinite distances
after a ratio test and an IndexError for an empty image; here the score is P, and empty is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.inputs import check_sizes, descriptor_tensor, to_matches
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.fused import fused_double_softmax, load_kernels
from silk_sfm.matching.tiles import MutualPairs, Similarity
from silk_sfm.options import check_choice
from silk_sfm.plugins import About

Kernel = Literal["tiles", "triton"]
PAIRS_TOGETHER = 64
"""Pairs of 2,048 descriptors make 2,048 programs then, many for each processor of a GPU."""


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
    kernel: Kernel = "tiles"
    """What computes it. `triton` is for CUDA devices: many pairs in one launch, similarities never
    in memory; it has never run on a GPU. In float32, probabilities agree within about 1e-5, so a
    match can differ where two are that close; in 16 bits they are nearer to float32 than those of
    `tiles`, which rounds similarities to 16 bits."""

    def __post_init__(self) -> None:
        check_choice("similarity", self.similarity, Similarity)
        check_choice("kernel", self.kernel, Kernel)
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
        self.pairs_together = 1
        if options.kernel == "triton":
            load_kernels(device)
            self.pairs_together = PAIRS_TOGETHER

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""
        return self.match(self.prepare(a), self.prepare(b))

    def prepare(self, features: LocalFeatures) -> torch.Tensor:
        """(N, D) float32 descriptors on the device."""
        return descriptor_tensor(features, self.device)

    def match(self, a: torch.Tensor, b: torch.Tensor) -> Matches:
        """Matches of two prepared images."""
        return self.match_many([(a, b)])[0]

    def match_many(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[Matches]:
        """Matches of each pair of prepared images; together on the GPU with the kernel `triton`."""
        filled = [pair for pair in pairs if all(map(len, pair))]
        for pair in filled:
            check_sizes(*pair)
        found = map(to_matches, self._found(filled))
        return [next(found) if all(map(len, pair)) else Matches.empty() for pair in pairs]

    def _found(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[MutualPairs]:
        options = self.options
        temperature = options.temperature / options.descriptor_scale**2
        choice = (temperature, options.threshold, options.similarity)
        if options.kernel == "triton":
            return fused_double_softmax(pairs, *choice)
        return [double_softmax(a, b, *choice) for a, b in pairs]
