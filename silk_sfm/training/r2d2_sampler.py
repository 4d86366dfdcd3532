"""Which descriptors of the other view those of R2D2 are compared with (arXiv 1906.06195, 3.2).

Around the true place of a query lie right ones, and a ring of wrong ones; farther away, in all
views of the batch, are distractors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.training.r2d2_losses import R2d2LossOptions


@dataclass(frozen=True, eq=False)
class Queries:
    """Q pixels of the N views a of a batch.

    views: (Q,) int64, which pair; xy: (Q, 2) int64 in a; truth: (Q, 2) int64, within b
    distractors: (d, 2) int64 pixels, the same ones of each view b
    """

    views: Tensor
    xy: Tensor
    truth: Tensor
    distractors: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """What the queries are compared with.

    scores: (Q, K) similarities, first that of the best right place
    right, counted: (Q, K) bool: is it right, and is it there at all?
    reliability: (Q,) mean of the query's and of its best place
    """

    scores: Tensor
    right: Tensor
    counted: Tensor
    reliability: Tensor


@dataclass(frozen=True, eq=False)
class Described:
    """Maps of N views: (N, D, H, W) descriptors of length 1, (N, 1, H, W) reliability."""

    descriptors: Tensor
    reliability: Tensor

    def at(self, views: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """(..., D) descriptors and (...) reliability of (...) views at (..., 2) pixels."""
        x, y = xy.unbind(-1)
        return self.descriptors[views, :, y, x], self.reliability[views, 0, y, x]

    @property
    def last(self) -> Tensor:
        """(2,) x and y of the last pixel."""
        height, width = self.reliability.shape[2:]
        return torch.tensor([width - 1, height - 1], device=self.reliability.device)


def draw_pixels(
    shape: tuple[int, int], options: R2d2LossOptions, generator: torch.Generator
) -> Tensor:
    """(q, 2) int64 random pixels x, y, as many as a grid of `query_spacing` has."""
    room = [side - 2 * options.border for side in (shape[1], shape[0])]
    n = max(1, room[0] // options.query_spacing) * max(1, room[1] // options.query_spacing)
    draws = torch.rand(n, 2, generator=generator, device=generator.device, dtype=torch.float64)
    return (draws * draws.new_tensor(room)).long() + options.border


def compare(a: Described, b: Described, queries: Queries, options: R2d2LossOptions) -> Samples:
    """The similarities of the queries with right and wrong places."""
    wanted, own = a.at(queries.views, queries.xy)  # (Q, D), (Q,)
    right_at, wrong_at = _offsets(options, queries.xy.device)
    near, near_known, reliability = _around(b, queries, wanted, right_at, options)
    best, index = near.masked_fill(~near_known, -torch.inf).max(dim=1, keepdim=True)
    ring, ring_known, _ = _around(b, queries, wanted, wrong_at, options)
    far, far_known = _distractors(b, queries, wanted, options)
    scores = torch.cat([best, ring, far], dim=1)
    right = torch.zeros_like(scores, dtype=torch.bool)
    right[:, 0] = True
    counted = torch.cat([right[:, :1], ring_known, far_known], dim=1)
    return Samples(scores, right, counted, (own + reliability.gather(1, index)[:, 0]) / 2)


def _around(
    b: Described, queries: Queries, wanted: Tensor, offsets: Tensor, options: R2d2LossOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """(Q, O) similarities around the truth, whether they are known, and the reliability there."""
    places = queries.truth[:, None] + offsets  # (Q, O, 2)
    within = places.clamp(min=torch.zeros_like(b.last), max=b.last)
    descriptors, reliability = b.at(queries.views[:, None], within)
    known = (within == places).all(dim=2) | (options.edges == "published")
    return torch.einsum("qd,qod->qo", wanted, descriptors), known, reliability


def _distractors(
    b: Described, queries: Queries, wanted: Tensor, options: R2d2LossOptions
) -> tuple[Tensor, Tensor]:
    """(Q, N d) similarities, and which of them are of wrong places."""
    n, d = len(b.reliability), len(queries.distractors)
    views = torch.arange(n, device=wanted.device).repeat_interleave(d)
    places = queries.distractors.repeat(n, 1)  # (N d, 2)
    descriptors, _ = b.at(views, places)
    scores = wanted @ descriptors.T
    apart = (queries.truth[:, None] - places).square().sum(dim=2)
    right = (queries.views[:, None] == views) & (apart < options.other**2)
    if options.edges == "published":
        return scores.masked_fill(right, 0), torch.ones_like(right)
    return scores, ~right


def _offsets(options: R2d2LossOptions, device: torch.device) -> tuple[Tensor, Tensor]:
    """(O, 2) int64 each: x, y of the right and of the wrong places around the true one."""
    n = options.ring // options.spacing
    steps = torch.arange(-n, n + 1, device=device) * options.spacing
    x, y = torch.meshgrid(steps, steps, indexing="xy")
    offsets = torch.stack([x.flatten(), y.flatten()], dim=1)
    squared = offsets.square().sum(dim=1)
    is_wrong = (squared >= options.other**2) & (squared <= options.ring**2)
    return offsets[squared <= options.same**2], offsets[is_wrong]
