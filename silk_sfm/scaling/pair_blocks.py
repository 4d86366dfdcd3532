"""Stages whose items are pairs of images."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, Generic, TypeVar

from silk_sfm.scaling.stage import Stage, slices
from silk_sfm.stages.blocks import Pair, in_blocks
from silk_sfm.store.matches import PairWriter

Pairs = TypeVar("Pairs", bound=PairWriter[Any])
BESIDE_A_BLOCK = 2
"""`in_blocks` keeps room for so many images more."""


class PairStage(Stage[Pair, Pairs], Generic[Pairs]):
    """A stage whose items are pairs."""

    label = "pairs"
    most_in_block = 1024

    def blocks(self, items: Sequence[Pair], size: int) -> list[list[Pair]]:
        """Blocks of pairs that share images.

        Of all pairs of many images a block of `size` has about 2 sqrt(size) images: sqrt(size) of
        one group with sqrt(size) later ones. Each worker reads each of them once a block.
        """
        names = {name for pair in items for name in pair}
        n_together = isqrt(size) + BESIDE_A_BLOCK
        return slices(in_blocks(items, dict.fromkeys(names, 1), n_together), size)

    def is_done(self, item: Pair, store: Pairs) -> bool:
        """Is the pair there, in either order?"""
        return store.has_pair(item)
