"""The losses of R2D2 (Revaud et al., NeurIPS 2019, arXiv 1906.06195), section 3.

Repeatability (3.1): maps of both views are alike and have sharp peaks. Reliability (3.2): a pixel's
descriptor finds its counterpart, by average precision, or the pixel says that it will not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.options import check_at_least

Edges = Literal["masked", "published"]

TINY = 1e-16
"""Against a division by 0 where no bin has a score yet."""


@dataclass(frozen=True)
class R2d2LossOptions:
    """Weights and places; the defaults are the published ones, unless said."""

    reliability: float = 1.0
    """Weight of the loss of descriptors and their reliability."""
    similarity: float = 1.0
    """Weight of the loss that makes both repeatability maps alike."""
    peakiness: float = 1.0
    """Weight of the loss that makes them peaky."""
    patch: int = 16
    """Pixels a side of the windows in which maps are compared and have a peak, an even number."""
    bins: int = 20
    """Of the histogram that average precision is made from."""
    base: float = 0.5
    """Average precision below which a pixel should call itself unreliable."""
    same: int = 3
    """Pixels: what is so near to the true place is right, the best of it counts."""
    other: int = 5
    """Pixels: what is at least so far from the true place is wrong."""
    ring: int = 7
    """Pixels: wrong places up to so far from the true one are all compared."""
    spacing: int = 1
    """Pixels between the places around the true one."""
    border: int = 16
    """Pixels without queries along the border."""
    query_spacing: int = 8
    """Pixels between the queries of a view on average, and between those of the other view that
    they are compared with as wrong ones."""
    edges: Edges = "masked"
    """What is beyond a view, or no wrong place after all: left out, or as published: the nearest
    pixels, or a similarity of 0."""

    def __post_init__(self) -> None:
        for name in ("reliability", "similarity", "peakiness", "same", "border"):
            check_at_least(name, getattr(self, name), 0)
        if self.patch < 2 or self.patch % 2:
            raise ConfigError(f"patch must be even and at least 2, got {self.patch}.")
        if self.bins < 2 or self.spacing < 1 or self.query_spacing < 1:
            raise ConfigError(
                "bins must be at least 2, spacing and query-spacing at least 1, got "
                f"{self.bins}, {self.spacing} and {self.query_spacing}."
            )
        if not self.same < self.other <= self.ring:
            raise ConfigError(
                f"same must be below other, and other at most ring, got {self.same}, {self.other} "
                f"and {self.ring}."
            )
        if not 0 <= self.base <= 1:
            raise ConfigError(f"base must be in 0 to 1, got {self.base}.")


def similarity_loss(a: Tensor, b: Tensor, visible: Tensor, patch: int) -> Tensor:
    """() 1 - mean cosine between the same patches of two maps in one frame (equation 2).

    a, b: (N, 1, H, W); visible: (N, 1, H, W) bool, where both maps are known. Patches overlap by
    half; one that is known for less than a half does not count.
    """
    known = visible.to(a)
    patches_a, patches_b = _patches(a * known, patch), _patches(b * known, patch)  # (N, P, side^2)
    cosines = (patches_a * patches_b).sum(dim=2)
    counts = functional.avg_pool2d(known, patch, patch // 2).flatten(1) >= 0.5
    return 1 - cosines[counts].sum() / counts.sum().clamp(min=1)


def _patches(maps: Tensor, patch: int) -> Tensor:
    """(N, 1, H, W) -> (N, P, side^2) of length 1."""
    unfolded = functional.unfold(maps, patch, stride=patch // 2)
    return functional.normalize(unfolded.transpose(1, 2), dim=2)


def peakiness_loss(maps: Tensor, patch: int, edges: Edges) -> Tensor:
    """() 1 - mean of (largest - mean) around each pixel of (N, 1, H, W) (equation 3), smoothed.

    Published: 0 is averaged in beyond the border, which is then a peak for nothing.
    """
    padded = edges == "published"
    smooth = functional.avg_pool2d(maps, 3, 1, 1, count_include_pad=padded)
    side = patch + 1
    largest = functional.max_pool2d(smooth, side, 1, patch // 2)
    mean = functional.avg_pool2d(smooth, side, 1, patch // 2, count_include_pad=padded)
    return 1 - (largest - mean).mean()


def average_precision(
    scores: Tensor,
    right: Tensor,
    counted: Tensor,
    bins: int,
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """(Q,) average precision of (Q, K) scores, differentiable (He et al., arXiv 1803.05982).

    right, counted: (Q, K) bool, which scores should be high, and which are there at all
    low, high: range of the histogram; scores beyond it count as its first or last bin
    A query without anything right has 0. A score shares out 1 between the two bins that it lies
    between, so that memory is linear in the scores, whatever the number of bins.
    """
    position = (high - scores.clamp(low, high)) * ((bins - 1) / (high - low))  # 0: the first bin
    first = position.detach().floor().long().clamp(max=bins - 2)
    second_share = position - first
    shares = torch.cat([1 - second_share, second_share], dim=1) * counted.repeat(1, 2)
    places = torch.cat([first, first + 1], dim=1)  # (Q, 2 K)
    empty = scores.new_zeros(len(scores), bins)
    counts = empty.scatter_add(1, places, shares)
    hits = empty.scatter_add(1, places, shares * right.repeat(1, 2))
    precision = hits.cumsum(dim=1) / (TINY + counts.cumsum(dim=1))
    recall = hits / hits.sum(dim=1, keepdim=True).clamp(min=TINY)
    return (precision * recall).sum(dim=1)


def reliability_loss(precision: Tensor, reliability: Tensor, base: float) -> Tensor:
    """() mean of 1 - (AP r + base (1 - r)) (equation 6); both (Q,)."""
    losses = 1 - precision * reliability - base * (1 - reliability)
    return losses.sum() / max(len(losses), 1)
