"""VLAD: all local descriptors of an image summed up in one vector.

Jegou, Douze, Schmid, Perez, "Aggregating local descriptors into a compact image representation",
CVPR 2010; each word's part brought to unit length after Arandjelovic and Zisserman, "All about
VLAD", CVPR 2013; shortened to principal axes after Jegou and Chum, "Negative evidences and
co-occurences in image retrieval: the benefit of PCA and whitening", ECCV 2012, without whitening.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

N_ITERATIONS = 15
TRAINED_PER_WORD = 500
"""Descriptors that each word is learned from."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """How descriptors become one vector.

    words: (K, D) float32, unit length
    middle, axes: (K D,) and (K D, S) float32: a vector v is shortened to (v - middle) axes
    """

    words: torch.Tensor
    middle: torch.Tensor
    axes: torch.Tensor

    def vector(self, descriptors: torch.Tensor) -> torch.Tensor:
        """(S,) float32 vector of an image with (N, D) descriptors, N at least 1."""
        return (summed(descriptors, self.words) - self.middle) @ self.axes


def learn_vocabulary(
    read: Callable[[str], torch.Tensor],
    images: Sequence[str],
    n_words: int,
    size: int,
    generator: torch.Generator,
) -> Vocabulary:
    """Learn words and axes from the descriptors that `read` gives of some images, (N, D), N >= 1.

    Vectors get at most `size` numbers, and no more than there are images. Each image is read twice,
    so that not all descriptors are in memory at a time.
    """
    quota = -(-n_words * TRAINED_PER_WORD // len(images))

    def some(descriptors: torch.Tensor) -> torch.Tensor:
        return descriptors[torch.randperm(len(descriptors), generator=generator)[:quota]]

    words = learn_words(torch.cat([some(read(name)) for name in images]), n_words, generator)
    vectors = torch.stack([summed(read(name), words) for name in images])  # (I, K D)
    middle = vectors.mean(dim=0)
    _, _, axes = torch.linalg.svd(vectors - middle, full_matrices=False)  # (min(I, K D), K D)
    return Vocabulary(words, middle, axes[:size].T.contiguous())


def learn_words(
    descriptors: torch.Tensor, n_words: int, generator: torch.Generator
) -> torch.Tensor:
    """(K, D) unit-length centres of (M, D) descriptors by k-means on the sphere; K <= M."""
    unit = normalize(descriptors, dim=1)
    chosen = torch.randperm(len(unit), generator=generator)[: min(n_words, len(unit))]
    words = unit[chosen]
    for _ in range(N_ITERATIONS):
        nearest = (unit @ words.T).argmax(dim=1)
        sums = torch.zeros_like(words).index_add_(0, nearest, unit)
        filled = sums.norm(dim=1, keepdim=True) > 0  # a word without descriptors stays
        words = torch.where(filled, normalize(sums, dim=1), words)
    return words


def summed(descriptors: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """(K D,) unit-length VLAD of (N, D) descriptors: per word, the sum of what they differ by."""
    unit = normalize(descriptors, dim=1)
    nearest = (unit @ words.T).argmax(dim=1)
    parts = torch.zeros_like(words).index_add_(0, nearest, unit - words[nearest])
    return normalize(normalize(parts, dim=1).ravel(), dim=0)
