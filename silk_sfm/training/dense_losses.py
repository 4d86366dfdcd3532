"""The losses of `losses` on the whole matrix: a few lines of plain torch, and as large as it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from silk_sfm.matching.dense import dense_mutual_nearest
from silk_sfm.training.correspondences import NONE


def dense_losses(
    logits_a: Tensor,
    logits_b: Tensor,
    a: Tensor,
    b: Tensor,
    to_b: Tensor,
    to_a: Tensor,
    temperature: float,
    ghost: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Descriptor and keypoint loss of one pair of views in which some cells correspond.

    logits: (P,), (Q,); a, b: (P, D), (Q, D) descriptors; to_b, to_a: (P,), (Q,) int64, -1 without
    """
    root = temperature**-0.5
    similarity = (a * root) @ (b * root).T  # (P, Q)
    descriptor = _side(similarity, to_b, ghost) + _side(similarity.T, to_a, ghost)
    pairs = dense_mutual_nearest(a.detach() * root, b.detach() * root)
    if ghost is not None:
        pairs = pairs.select(pairs.values > ghost)
    found_b, found_a = torch.full_like(to_b, NONE), torch.full_like(to_a, NONE)
    found_b[pairs.rows], found_a[pairs.columns] = pairs.columns, pairs.rows
    logits, truth = torch.cat([logits_a, logits_b]), torch.cat([to_b, to_a])
    right = (torch.cat([found_b, found_a]) == truth).to(logits)
    known = truth != NONE
    return descriptor, binary_cross_entropy_with_logits(logits[known], right[known])


def _side(similarity: Tensor, truth: Tensor, ghost: Tensor | None) -> Tensor:
    """Mean of -log softmax over the rows at the true entry."""
    if ghost is not None:
        column = ghost.to(similarity).expand(len(similarity), 1)
        similarity = torch.cat([similarity, column], dim=1)
    return cross_entropy(similarity, truth, ignore_index=NONE)
