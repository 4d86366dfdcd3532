"""The losses of SiLK (Gleize et al. 2023, section 3): descriptors and keypoints, learned together.

S = d_a d_b' / temperature, the similarity of every cell of a with every cell of b.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from silk_sfm.errors import ConfigError
from silk_sfm.matching.tiles import MutualPairs
from silk_sfm.training.correspondences import NONE
from silk_sfm.training.log_sums import log_sums


@dataclass(frozen=True)
class LossOptions:
    """What is learned from the similarities of two views."""

    temperature: float = 0.1
    """Products of descriptors are divided by this."""
    ghost: float | None = None
    """One more similarity, after the temperature, that every match competes with and must exceed;
    none without it."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, got {self.temperature}.")


@dataclass(frozen=True, eq=False)
class SilkLoss:
    """Losses and figures of a batch, () each: the mean over the items where they are defined.

    descriptor: mean of -log softmax_j S at the true j over cells i of a with a correspondence, plus
        the same from b to a
    keypoint: binary cross entropy of a cell's logit against "its predicted match is the true one",
        over all cells with a correspondence; a predicted match is the mutual largest of S
    The rest has no gradient:
    precision: share of cells of a with a predicted match, right or wrong, that have a true one
    recall: share of cells of a with a true match that have a predicted one, right or wrong
    f1: harmonic mean of both
    correct: share of cells with a true match, of both sides, whose predicted match is that one
    accuracy: share of these cells where the logit is positive if and only if that is so
    """

    descriptor: Tensor
    keypoint: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor
    correct: Tensor
    accuracy: Tensor


def silk_loss(
    logits_a: Tensor,
    logits_b: Tensor,
    descriptors_a: Tensor,
    descriptors_b: Tensor,
    to_b: Tensor,
    to_a: Tensor,
    options: LossOptions,
    ghost: Tensor | None = None,
) -> SilkLoss:
    """The losses of N pairs of views, with P and Q cells.

    logits: (N, P), (N, Q); descriptors: (N, P, D), (N, Q, D) of the length they are used with
    to_b, to_a: (N, P), (N, Q) int64 true correspondences, -1 without one
    ghost: () a ghost similarity that is learned, instead of that of the options
    """
    if ghost is None and options.ghost is not None:
        ghost = descriptors_a.new_full((), options.ghost)
    parts = (logits_a, logits_b, descriptors_a, descriptors_b, to_b, to_a)
    return _over_items([_item(options, ghost, *item) for item in zip(*parts, strict=True)])


@dataclass(frozen=True, eq=False)
class _Item:
    """One pair of views, () each: its losses, and how many cells are what.

    right, right_logits: of the `n_true` cells with a correspondence, on both sides
    n_true_a, n_found_a, n_both_a: cells of a with a true, a predicted, and any two matches
    """

    descriptor: Tensor
    keypoint: Tensor
    right: Tensor
    right_logits: Tensor
    n_true: Tensor
    n_true_a: Tensor
    n_found_a: Tensor
    n_both_a: Tensor


def _item(
    options: LossOptions,
    ghost: Tensor | None,
    logits_a: Tensor,
    logits_b: Tensor,
    a: Tensor,
    b: Tensor,
    to_b: Tensor,
    to_a: Tensor,
) -> _Item:
    a, b = a * options.temperature**-0.5, b * options.temperature**-0.5
    known_a, known_b = _known(to_b), _known(to_a)
    sums = log_sums(a, b, known_a, known_b)
    similar_a = (a[known_a] * b[to_b[known_a]]).sum(dim=1)
    similar_b = (b[known_b] * a[to_a[known_b]]).sum(dim=1)
    found_b, found_a = _predicted(sums.pairs, len(a), len(b), ghost)
    right = torch.cat([found_b[known_a] == to_b[known_a], found_a[known_b] == to_a[known_b]])
    logits = torch.cat([logits_a[known_a], logits_b[known_b]])
    return _Item(
        descriptor=_surprise(sums.rows, similar_a, ghost)
        + _surprise(sums.columns, similar_b, ghost),
        keypoint=_mean(
            binary_cross_entropy_with_logits(logits, right.to(logits), reduction="none")
        ),
        right=right.sum(),
        right_logits=((logits.detach() > 0) == right).sum(),
        n_true=right.new_full((), len(right), dtype=torch.int64),
        n_true_a=right.new_full((), len(known_a), dtype=torch.int64),
        n_found_a=(found_b != NONE).sum(),
        n_both_a=(found_b[known_a] != NONE).sum(),
    )


def _known(truth: Tensor) -> Tensor:
    """(K,) int64 positions with a correspondence."""
    return (truth != NONE).nonzero().squeeze(1)


def _surprise(log_sums: Tensor, similarities: Tensor, ghost: Tensor | None) -> Tensor:
    """() mean of -log softmax; (K,) each."""
    if ghost is not None:
        log_sums = torch.logaddexp(log_sums, ghost.to(log_sums))
    return _mean(log_sums - similarities).to(similarities)


def _mean(values: Tensor) -> Tensor:
    """() 0 without values."""
    return values.sum() / max(len(values), 1)


def _predicted(
    pairs: MutualPairs, n_a: int, n_b: int, ghost: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(P,) and (Q,) int64 predicted matches, NONE without."""
    if ghost is not None:
        pairs = pairs.select(pairs.values > ghost)
    to_b, to_a = pairs.rows.new_full((n_a,), NONE), pairs.rows.new_full((n_b,), NONE)
    to_b[pairs.rows], to_a[pairs.columns] = pairs.columns, pairs.rows
    return to_b, to_a


def _over_items(items: list[_Item]) -> SilkLoss:
    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(item, name) for item in items])

    n_true, n_true_a = stacked("n_true"), stacked("n_true_a")
    precision = _mean_share(stacked("n_both_a"), stacked("n_found_a"))
    recall = _mean_share(stacked("n_both_a"), n_true_a)
    return SilkLoss(
        descriptor=_mean_share(stacked("descriptor"), (n_true > 0).long()),
        keypoint=_mean_share(stacked("keypoint"), (n_true > 0).long()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall).clamp(min=1e-12),
        correct=_mean_share(stacked("right"), n_true),
        accuracy=_mean_share(stacked("right_logits"), n_true),
    )


def _mean_share(parts: Tensor, wholes: Tensor) -> Tensor:
    """() mean of parts / wholes over the items whose whole is not 0; 0 without any."""
    return (parts / wholes.clamp(min=1)).sum() / (wholes > 0).sum().clamp(min=1)
