"""The formulas of `mutual` and `double_softmax` on the whole matrix: short and slow."""

from __future__ import annotations

import torch

from silk_sfm.matching.tiles import MutualPairs


def dense_mutual_nearest(a: torch.Tensor, b: torch.Tensor) -> MutualPairs:
    """Pairs (i, j) whose dot product is the largest of row i and of column j."""
    return _mutual(a @ b.T)


def dense_double_softmax(
    a: torch.Tensor, b: torch.Tensor, temperature: float, threshold: float
) -> MutualPairs:
    """P = softmax over rows x softmax over columns of a b' / temperature; mutual, P > threshold."""
    similarity = (a / temperature) @ b.T  # (N, M)
    probability = similarity.softmax(dim=1) * similarity.softmax(dim=0)
    pairs = _mutual(probability)
    return pairs.select(pairs.values > threshold)


def _mutual(matrix: torch.Tensor) -> MutualPairs:
    if matrix.numel() == 0:
        return MutualPairs.empty(matrix.device)
    values, columns = matrix.max(dim=1)
    best_rows = matrix.argmax(dim=0)
    rows = torch.arange(len(matrix), device=matrix.device)
    pairs = MutualPairs(rows, columns, values)
    return pairs.select(best_rows[columns] == rows)
