"""Exact nearest vectors in tiles: which images look most alike, by one vector each."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

TILE_NUMBERS = 2**24
"""Similarities in memory at a time: 64 MiB of float32."""


def most_alike(vectors: torch.Tensor, queries: torch.Tensor, n_alike: int) -> torch.Tensor:
    """(Q, K) int64: of each image in (Q,) `queries` the most alike others, best first.

    vectors: (N, D) float32, one for each image; they are compared by their cosine
    K is `n_alike`, or N - 1 where there are fewer others. No image finds itself. Memory besides the
    vectors does not grow with Q times N: similarities are made in tiles of whole rows.
    """
    n_images = len(vectors)
    n_alike = min(n_alike, n_images - 1)
    unit = normalize(vectors, dim=1)
    found = torch.empty((len(queries), max(n_alike, 0)), dtype=torch.int64)
    if n_alike < 1:
        return found
    n_rows = max(1, TILE_NUMBERS // n_images)
    for start in range(0, len(queries), n_rows):
        asked = queries[start : start + n_rows]
        similarity = unit[asked] @ unit.T  # (R, N)
        similarity[torch.arange(len(asked)), asked] = -torch.inf
        found[start : start + n_rows] = similarity.topk(n_alike, dim=1).indices
    return found
