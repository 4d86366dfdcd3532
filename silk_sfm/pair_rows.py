"""Pairs of images by their numbers, a row for each image: 100,000 images need no list of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Row = Callable[[int], np.ndarray]
NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs of the images 0 ... n_images - 1: each pair once, in the row of its first image.

    row: of image i, the (K,) int64 images j > i that it is paired with, rising
    most_pairs: no more pairs than these; exact for a single way of pairing without loops
    """

    n_images: int
    row: Row
    most_pairs: int

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.row, range(self.n_images))

    def indices(self) -> Iterator[tuple[int, int]]:
        """Every pair (i, j), i < j, rising."""
        for i, row in enumerate(self):
            yield from ((i, j) for j in row.tolist())


def all_rows(n_images: int) -> PairRows:
    """Every image with every other: N (N - 1) / 2 pairs."""
    return PairRows(n_images, lambda i: np.arange(i + 1, n_images), n_images * (n_images - 1) // 2)


def sequential_rows(n_images: int, window: int, quadratic: bool = False) -> PairRows:
    """Each image with the `window` next ones.

    quadratic: also with those 1, 2, 4, ... 2^(window - 1) images ahead, as COLMAP's sequential
        matcher does: a slow pass over the same place is bridged with few pairs
    """
    steps = set(range(1, min(window, n_images) + 1))
    if quadratic:
        steps |= {2**power for power in range(min(window, n_images.bit_length()))}
    ahead = np.array(sorted(step for step in steps if step < n_images), np.int64)

    def row(i: int) -> np.ndarray:
        return i + ahead[: np.searchsorted(ahead, n_images - i)]

    return PairRows(n_images, row, int((n_images - ahead).sum()))


def anchor_rows(n_images: int, every: int, beside: int) -> PairRows:
    """Loops closed between the anchors 0, every, 2 every, ...

    Each anchor is paired with all other anchors and with `beside` images on both sides of those.
    """
    anchors = np.arange(0, n_images, every)
    around = np.arange(-beside, beside + 1)

    def row(i: int) -> np.ndarray:
        found = NOBODY
        near = anchors[np.abs(anchors - i) <= beside]
        if i % every == 0:
            others = anchors[anchors != i]
            found = (others[:, None] + around).ravel()
        if len(near):  # an anchor is paired with i when i lies beside another anchor
            found = np.concatenate([found, anchors if len(near) > 1 else anchors[anchors != near]])
        return np.unique(found[(found > i) & (found < n_images)])

    n_anchors = len(anchors)
    return PairRows(n_images, row, n_anchors * (n_anchors - 1) * len(around))


def listed_rows(n_images: int, pairs: np.ndarray) -> PairRows:
    """The (M, 2) pairs of image numbers, given in any order and as often as one likes."""
    first, second = np.sort(np.asarray(pairs, np.int64).reshape(-1, 2), axis=1).T
    codes = np.unique((first * n_images + second)[first != second])
    starts = np.searchsorted(codes, np.arange(n_images + 1) * n_images)

    def row(i: int) -> np.ndarray:
        return np.asarray(codes[starts[i] : starts[i + 1]] - i * n_images)

    return PairRows(n_images, row, len(codes))


def joined_rows(parts: Sequence[PairRows]) -> PairRows:
    """The pairs of all `parts`, which are of the same images, without duplicates."""
    if len(parts) == 1:
        return parts[0]

    def row(i: int) -> np.ndarray:
        return np.unique(np.concatenate([part.row(i) for part in parts]))

    return PairRows(parts[0].n_images, row, sum(part.most_pairs for part in parts))


def among_rows(rows: PairRows, numbers: Sequence[int], n_images: int) -> PairRows:
    """Pairs of some images as pairs of all: image i of `rows` is the rising numbers[i] of all."""
    chosen = np.asarray(numbers, np.int64)
    place = np.full(n_images, -1)
    place[chosen] = np.arange(len(chosen))

    def row(i: int) -> np.ndarray:
        return NOBODY if place[i] < 0 else chosen[rows.row(int(place[i]))]

    return PairRows(n_images, row, rows.most_pairs)
