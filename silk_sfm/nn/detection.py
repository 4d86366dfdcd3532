"""From a score map to keypoints: border, suppression, spread, threshold and top-k, in this order.

All functions take the score map of one image, (H, W) float32: probabilities, or better
logits, because a float32 sigmoid rounds high scores to ties. A cell that is taken out gets -inf, so
that it is never chosen, whatever the scores are. Cells are (K,) int64 row-major indices, ascending.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.nn.neighbourhood import largest_around
from silk_sfm.options import check_at_least

REMOVED = -math.inf
LOWEST = -(2**63)
"""Below every rank."""
BAND_ROWS = 1024
"""Rows of a map worked on at a time in suppression; bounds its memory."""


@dataclass(frozen=True)
class DetectionOptions:
    """Which cells of a score map become keypoints."""

    nms_radius: int = 4
    """Keep only the best keypoint of each square of (2 nms_radius + 1) pixels; 0 = off."""
    border: int = 0
    """No keypoints within this many cells of the score map's border."""
    threshold: float = 1.0
    """Keep keypoints with a probability strictly above this; 1.0 leaves the choice to top_k."""
    top_k: int = 8000
    """Lower the threshold until there are at least this many keypoints; 0 = never lower it."""
    max_keypoints: int | None = None
    """Keep at most this many, the best ones; None = no limit."""
    refine: bool = True
    """Move keypoints by up to half a pixel to the top of a parabola through the scores."""
    spread: int = 0
    """At most this many keypoints in each square of spread_cell pixels; 0 = off."""
    spread_cell: int = 32
    """Side of the squares of `spread`, in pixels."""

    def __post_init__(self) -> None:
        for name in ("nms_radius", "border", "top_k", "spread"):
            check_at_least(name, getattr(self, name), 0)
        check_at_least("spread_cell", self.spread_cell, 1)
        if self.max_keypoints is not None:
            check_at_least("max_keypoints", self.max_keypoints, 1)
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold must lie in [0, 1], got {self.threshold}.")


def detect(probability: Tensor, options: DetectionOptions) -> Tensor:
    """Cells of the keypoints of an (H, W) map of probabilities; a probability of 0 never counts."""
    scores = torch.where(probability > 0, probability, REMOVED)
    return _detect(scores, options, options.threshold)


def detect_logits(logits: Tensor, options: DetectionOptions) -> Tensor:
    """Cells of the keypoints of an (H, W) map of logits; `threshold` still is a probability."""
    return _detect(logits, options, logit(options.threshold))


def _detect(scores: Tensor, options: DetectionOptions, threshold: float) -> Tensor:
    scores = remove_border(scores, options.border)
    kept = _suppress_among_best(scores, options, threshold)
    if kept is None:
        kept = suppress_neighbours(scores, options.nms_radius)
        kept = limit_per_square(kept, options.spread, options.spread_cell)
    return choose(kept, threshold, options.top_k, options.max_keypoints)


def _suppress_among_best(
    scores: Tensor, options: DetectionOptions, threshold: float
) -> Tensor | None:
    """What suppression leaves of the best scores, if all keypoints are among them; else None.

    Only a better score suppresses a cell: among the best alone the same ones are left as among all.
    None also where looking at all scores is as quick, and where more than suppression thins them.
    """
    wanted = min(options.top_k, options.max_keypoints or options.top_k)
    # enough when a keypoint takes half of its square on average; on photos it takes a quarter
    count = wanted * (2 * options.nms_radius + 1) ** 2 // 2
    if options.nms_radius == 0 or options.spread > 0 or 2 * count > scores.numel():
        return None
    is_best = scores > threshold
    if count > 0:
        is_best |= scores >= _largest(scores.flatten(), count)
    best_scores = torch.where(is_best, scores, REMOVED)
    del is_best
    kept = suppress_neighbours(best_scores, options.nms_radius)
    return kept if int((kept > REMOVED).sum()) >= wanted else None


def logit(probability: float) -> float:
    """Of a probability; infinite for 0 and 1."""
    if probability in (0, 1):
        return math.inf if probability else -math.inf
    return math.log(probability) - math.log1p(-probability)


def remove_border(scores: Tensor, border: int) -> Tensor:
    """The scores without a frame of `border` cells."""
    if border == 0:
        return scores
    kept = torch.full_like(scores, REMOVED)
    inner = (slice(border, max(border, side - border)) for side in scores.shape)
    rows, columns = inner
    kept[rows, columns] = scores[rows, columns]
    return kept


def suppress_neighbours(scores: Tensor, radius: int) -> Tensor:
    """Only the scores that are the best of the (2 radius + 1) square around them.

    A local maximum removes all others of its square, until nothing changes: greedy suppression from
    the best score down, where of equal scores the first in row-major order is the better one.
    """
    if radius == 0 or scores.numel() == 0:
        return scores
    undecided = scores > REMOVED
    alive, kept = _ranked(scores), torch.zeros_like(undecided)
    while int(undecided.sum()) * (2 * radius + 1) ** 2 > scores.numel():
        best_around = _per_band(
            lambda part: largest_around(part, radius, LOWEST) == part, alive, radius
        )
        kept |= best_around & undecided
        near = _per_band(lambda part: largest_around(part.byte(), radius, 0) > 0, kept, radius)
        alive.masked_fill_(near & ~kept, LOWEST)
        undecided &= ~near
    kept = _suppress_few(alive, undecided, radius) | kept
    return torch.where(kept, scores, REMOVED)


def _ranked(scores: Tensor) -> Tensor:
    """(H, W) int64 ranks: in the order of the float32 scores, of equal ones the first is highest.

    The bits of a float32, read as sign and magnitude, are in the order of the numbers. Removed
    cells get LOWEST.
    """
    ranks = scores.new_empty(scores.shape, dtype=torch.int64)
    last = scores.numel() - 1
    for top in range(0, len(scores), BAND_ROWS):
        part = scores[top : top + BAND_ROWS].contiguous()
        bits = part.view(torch.int32).long()
        order = torch.where(bits < 0, -(bits & 0x7FFF_FFFF), bits) * 2**31
        first = last - top * scores.shape[1]
        place = torch.arange(first, first - part.numel(), -1, device=scores.device)
        band = order + place.view_as(part)
        ranks[top : top + BAND_ROWS] = torch.where(part > REMOVED, band, LOWEST)
    return ranks


def _per_band(rule: Callable[[Tensor], Tensor], values: Tensor, reach: int) -> Tensor:
    """(H, W) bool: `rule` of an (H, W) map, which looks `reach` rows far, some rows at a time.

    What a rule makes on its way is many times larger than its result.
    """
    result = torch.empty_like(values, dtype=torch.bool)
    for top in range(0, len(values), BAND_ROWS):
        first = max(0, top - reach)
        part = rule(values[first : top + BAND_ROWS + reach])
        result[top : top + BAND_ROWS] = part[top - first : top - first + BAND_ROWS]
    return result


def _suppress_few(alive: Tensor, undecided: Tensor, radius: int) -> Tensor:
    """(H, W) bool: which of few undecided cells are kept; looks at their squares only."""
    padded = functional.pad(alive, (radius,) * 4, value=LOWEST)
    width = padded.shape[1]
    step = torch.arange(-radius, radius + 1, device=alive.device)
    square = (step[:, None] * width + step).flatten()  # (S,) offsets in row-major order
    cells = torch.nonzero(functional.pad(undecided, (radius,) * 4).flatten())[:, 0]
    ranks, kept = padded.flatten(), torch.zeros_like(padded, dtype=torch.bool)
    while len(cells) > 0:
        is_best = ranks[cells[:, None] + square].amax(dim=1) == ranks[cells]
        found = cells[is_best]
        kept.view(-1)[found] = True
        ranks[(found[:, None] + square).flatten()] = LOWEST
        cells = cells[ranks[cells] > LOWEST]
    return kept[radius:-radius, radius:-radius]


def limit_per_square(scores: Tensor, most: int, side: int) -> Tensor:
    """Only the `most` best scores of each square of a grid; of equal ones the first; 0 = all."""
    if most == 0:
        return scores
    cells = torch.nonzero(scores.flatten() > REMOVED)[:, 0]
    width = scores.shape[1]
    squares = (cells // width // side) * width + cells % width // side
    best_first = torch.argsort(scores.flatten()[cells], descending=True, stable=True)
    order = best_first[torch.argsort(squares[best_first], stable=True)]
    _, sizes = torch.unique_consecutive(squares[order], return_counts=True)
    starts = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    rank = torch.arange(len(order), device=scores.device) - starts
    kept = torch.full_like(scores.flatten(), REMOVED)
    chosen = cells[order[rank < most]]
    kept[chosen] = scores.flatten()[chosen]
    return kept.view_as(scores)


def choose(scores: Tensor, threshold: float, top_k: int, most: int | None) -> Tensor:
    """Cells above `threshold`, but at least the `top_k` best and at most the `most` best.

    Always exactly that many when there are enough: of equal scores at the cut the first ones in
    row-major order are taken. (The original returns k + 1, or drops all ties at the cut.)
    """
    flat = scores.flatten()
    cells = torch.nonzero(flat > REMOVED)[:, 0]
    values = flat[cells]
    count = max(int((values > threshold).sum()), top_k)
    count = min(count, len(cells), len(cells) if most is None else most)
    return cells[best(values, count)]


def best(values: Tensor, count: int) -> Tensor:
    """(count,) ascending indices of the largest of (N,) values; of equal ones the first."""
    if count == 0:
        return torch.zeros(0, dtype=torch.int64, device=values.device)
    cut = _largest(values, count)
    above, equal = values > cut, values == cut
    wanted = count - above.sum()
    return torch.nonzero(above | (equal & (equal.cumsum(0) <= wanted)))[:, 0]


def _largest(values: Tensor, count: int) -> Tensor:
    """The `count`-th largest of (N,) values, count from 1 to N."""
    return values.kthvalue(len(values) - count + 1).values


def refine(logits: Tensor, cells: Tensor) -> Tensor:
    """(K, 2) float offsets in y and x, within ±0.5, from a cell to the top of the score there.

    For each axis the top of the parabola through a cell and its two neighbours; 0 at the border of
    the map and where the scores do not bend down.
    """
    height, width = logits.shape
    rows, columns = cells // width, cells % width
    flat = logits.flatten()
    vertical = _parabola_top(flat, cells, width, (rows > 0) & (rows < height - 1))
    horizontal = _parabola_top(flat, cells, 1, (columns > 0) & (columns < width - 1))
    return torch.stack([vertical, horizontal], dim=1)


def _parabola_top(flat: Tensor, cells: Tensor, step: int, inside: Tensor) -> Tensor:
    """With neighbours a, c of b: top = (a - c) / (2 (a - 2 b + c))."""
    neighbours = torch.where(inside, step, 0)
    before, here, after = flat[cells - neighbours], flat[cells], flat[cells + neighbours]
    bend = before - 2 * here + after
    top = (before - after) / (2 * torch.where(bend < 0, bend, -1.0))
    return torch.where(inside & (bend < 0), top, 0.0).clamp(-0.5, 0.5)
