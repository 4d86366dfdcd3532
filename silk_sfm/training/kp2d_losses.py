"""The losses of KP2D (Tang et al., ICLR 2020, arXiv 1912.10615, section 3).

View a is the source, b the target. Every cell of a view gives one keypoint; those of a are moved
into b, where the nearest keypoint is meant to be the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.nn.kp2d import CELL
from silk_sfm.options import check_at_least
from silk_sfm.training.places import distances, is_inside, map_positions, move, read_maps

FEWEST = 20
"""Cells of a view that must be seen in the other one: below, it teaches no descriptors."""
FEWEST_INLIERS = 10
"""Matches of a batch that must be right: otherwise IO-Net is not taught."""
LARGEST_DISTANCE = 2.0
"""Between descriptors of length 1."""

Sampling = Literal["original", "half-pixel"]


@dataclass(frozen=True)
class Kp2dLossOptions:
    """Weights and reaches of the losses; the defaults are the published ones, unless said."""

    location: float = 1.0
    """Weight of the distance between matched keypoints."""
    descriptor: float = 2.0
    """Weight of the triplet loss."""
    score: float = 1.0
    """Weight of the loss that gives high scores to keypoints that lie well."""
    agreement: float = 2.0
    """Weight of the difference between the scores of both views."""
    inliers: float = 1.0
    """Weight of IO-Net's loss. 0: without IO-Net, as the versions v0 to v2."""
    reach: float = 4.0
    """Pixels: keypoints nearer than this to their true place are the same."""
    margin: float = 0.2
    """By which a wrong descriptor must be farther away than the right one."""
    apart: float = 4.0
    """Pixels in x or y: only keypoints farther than this from the true place are wrong ones."""
    inlier_cells: int = 300
    """Keypoints of each view that IO-Net sees, those of the lowest scores."""
    outer_cells: bool = False
    """Show IO-Net the outermost cells, too, whose score is 0; they come first. As published: yes,
    but they are never keypoints."""
    sampling: Sampling = "original"
    """Where descriptors are read. original: as published, up to 0.4 cells off near the border.
    half-pixel: exact. Extract with the same choice."""

    def __post_init__(self) -> None:
        for name in ("location", "descriptor", "score", "agreement", "inliers", "margin", "apart"):
            check_at_least(name, getattr(self, name), 0)
        if self.reach <= 0 or self.inlier_cells < 1:
            raise ConfigError(
                f"reach must be above 0 and inlier-cells at least 1, got {self.reach} and "
                f"{self.inlier_cells}."
            )


@dataclass(frozen=True, eq=False)
class Cells:
    """The keypoints of N views of W x H pixels, one for each of M = h * w cells.

    scores: (N, 1, h, w) in 0..1, 0 in the outermost cells
    places: (N, 2, h, w) pixels, x before y
    descriptors: (N, D, h', w') a map, of any length
    """

    scores: Tensor
    places: Tensor
    descriptors: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the views, pixels."""
        return CELL * self.scores.shape[3], CELL * self.scores.shape[2]

    @property
    def xy(self) -> Tensor:
        """(N, M, 2) pixels."""
        return self.places.flatten(2).transpose(1, 2)

    @property
    def flat_scores(self) -> Tensor:
        """(N, M)"""
        return self.scores.flatten(1)

    def inner(self) -> Tensor:
        """(M,) bool: not one of the outermost cells?"""
        inner = torch.zeros(self.scores.shape[2:], dtype=torch.bool, device=self.scores.device)
        inner[1:-1, 1:-1] = True
        return inner.flatten()


@dataclass(frozen=True, eq=False)
class Kp2dLoss:
    """Losses and figures of a batch, () each, without weights.

    location: mean distance to the nearest keypoint of b, pixels, where it is below `reach`
    descriptor: triplet loss with the hardest wrong descriptor
    score: mean of (sum of both scores) * (distance - mean distance): high scores are worth it only
        where keypoints lie better than on average
    agreement: mean squared difference of a's scores and those of b at the same places
    inliers: mean squared error of IO-Net's verdicts against 1 and -1
    recall: share of descriptors whose nearest one is the right one, without gradient
    """

    location: Tensor
    descriptor: Tensor
    score: Tensor
    agreement: Tensor
    inliers: Tensor
    recall: Tensor

    def total(self, options: Kp2dLossOptions) -> Tensor:
        """() what is minimised."""
        return (
            options.location * self.location
            + options.descriptor * self.descriptor
            + options.score * self.score
            + options.agreement * self.agreement
            + options.inliers * self.inliers
        )


def kp2d_loss(
    a: Cells, b: Cells, a_to_b: Tensor, inlier_net: nn.Module, options: Kp2dLossOptions
) -> Kp2dLoss:
    """All losses of N pairs of views; a_to_b: (N, 3, 3) float64 between pixels."""
    moved = move(a_to_b, a.xy)  # (N, M, 2)
    seen = is_inside(moved, b.size) & a.inner()
    apart = distances(moved, b.xy)
    nearest, index = apart.min(dim=2)
    near = seen & (nearest < options.reach)
    scores = a.flat_scores + b.flat_scores.gather(1, index)
    descriptor, recall = triplet_loss(a, b, moved.detach(), seen, options)
    return Kp2dLoss(
        location=_mean(nearest[near]),
        descriptor=descriptor,
        score=_mean(scores[near] * (nearest[near] - _mean(nearest[near]))),
        agreement=_disagreement(a, b, moved.detach(), seen),
        inliers=_inlier_loss(a, b, moved.detach(), inlier_net, options),
        recall=recall,
    )


def triplet_loss(
    a: Cells, b: Cells, moved: Tensor, taught: Tensor, options: Kp2dLossOptions
) -> tuple[Tensor, Tensor]:
    """() the triplet loss of the `taught` keypoints and () their recall, both means over the views.

    moved: (N, M, 2) places of a's keypoints in b; taught: (N, M) bool
    """
    anchors = read_descriptors(a, a.xy.detach(), options.sampling)
    positives = read_descriptors(b, moved, options.sampling)
    items = zip(anchors, positives, moved, taught, strict=True)
    parts = [_triplets(*item, options) for item in items]
    losses, recalls = zip(*parts, strict=True)
    return torch.stack(losses).mean(), torch.stack(recalls).mean()


def _triplets(
    anchors: Tensor, positives: Tensor, places: Tensor, taught: Tensor, options: Kp2dLossOptions
) -> tuple[Tensor, Tensor]:
    """Of one view: (M, D) twice, (M, 2), (M,) bool."""
    anchors, positives, places = anchors[taught], positives[taught], places[taught]
    if len(anchors) < FEWEST:
        return positives.sum() * 0, positives.new_zeros(())
    with torch.no_grad():
        apart = torch.cdist(anchors, positives, compute_mode="donot_use_mm_for_euclid_dist")
        own = torch.arange(len(anchors), device=anchors.device)
        recall = (apart.argmin(dim=1) == own).float().mean()
        close = (places[:, None] - places).abs().amax(dim=2) <= options.apart
        hardest = apart.masked_fill(close, LARGEST_DISTANCE).argmin(dim=1)
    loss = functional.triplet_margin_loss(
        anchors, positives, positives[hardest], margin=options.margin
    )
    return loss, recall


def _disagreement(a: Cells, b: Cells, moved: Tensor, seen: Tensor) -> Tensor:
    """() mean squared difference of scores, read between cells as the published code does."""
    cells = map_positions(moved, b.size, b.scores, "original")
    there = read_maps(b.scores, cells)[..., 0]  # (N, M)
    return _mean((a.flat_scores - there)[seen] ** 2)


def _inlier_loss(
    a: Cells, b: Cells, moved: Tensor, inlier_net: nn.Module, options: Kp2dLossOptions
) -> Tensor:
    matches, moved = inlier_matches(a, b, moved, options)
    verdicts = inlier_net(matches[..., None])[:, 0, :, 0]  # (N, K)
    matched = _in_pixels(matches[:, 2:4].transpose(1, 2), b.size)
    right = (moved - matched.detach()).norm(dim=2) < options.reach
    loss = functional.mse_loss(verdicts, torch.where(right, 1.0, -1.0))
    # Zeros instead of a branch: all parameters take part in each step, in all processes.
    return torch.where(right.sum() > FEWEST_INLIERS, loss, loss * 0)


def inlier_matches(
    a: Cells, b: Cells, moved: Tensor, options: Kp2dLossOptions
) -> tuple[Tensor, Tensor]:
    """What IO-Net sees: (N, 5, K) x, y in a, x, y in b, distance of the descriptors; places are in
    -1..1. And (N, K, 2): where these K keypoints of a lie in b, pixels.
    """
    cells_a, cells_b = (lowest_cells(each, options) for each in (a, b))
    xy_a, xy_b = _at(a.xy, cells_a), _at(b.xy, cells_b)
    descriptors_a = read_descriptors(a, xy_a, options.sampling)
    descriptors_b = read_descriptors(b, xy_b, options.sampling)
    similar = (descriptors_a @ descriptors_b.transpose(1, 2)).clamp(-1, 1)
    best, index = similar.max(dim=2)
    apart = (2 - 2 * best).clamp(min=1e-12).sqrt()[..., None]
    places = [_normalised(xy_a, a.size), _normalised(_at(xy_b, index), b.size)]
    return torch.cat([*places, apart], dim=2).transpose(1, 2), _at(moved, cells_a)


def lowest_cells(cells: Cells, options: Kp2dLossOptions) -> Tensor:
    """(N, K) indices of the cells of the lowest scores, ascending."""
    scores = cells.flat_scores.detach()
    inner = cells.inner()
    if options.outer_cells:
        inner = torch.ones_like(inner)
    k = min(options.inlier_cells, int(inner.sum()))
    chosen = scores.masked_fill(~inner, torch.inf).topk(k, dim=1, largest=False).indices
    return chosen.sort(dim=1).values


def read_descriptors(cells: Cells, xy: Tensor, sampling: Sampling) -> Tensor:
    """(N, K, D) descriptors of length 1 at (N, K, 2) pixels."""
    positions = map_positions(xy, cells.size, cells.descriptors, sampling)
    return functional.normalize(read_maps(cells.descriptors, positions), dim=2)


def _at(rows: Tensor, index: Tensor) -> Tensor:
    """(N, M, C) rows at (N, K) indices."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))


def _normalised(xy: Tensor, size: tuple[int, int]) -> Tensor:
    return xy * 2 / (xy.new_tensor(size) - 1) - 1


def _in_pixels(xy: Tensor, size: tuple[int, int]) -> Tensor:
    return (xy + 1) * (xy.new_tensor(size) - 1) / 2


def _mean(values: Tensor) -> Tensor:
    """() 0 without values."""
    return values.sum() / max(values.numel(), 1)
