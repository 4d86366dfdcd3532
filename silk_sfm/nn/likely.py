"""Descriptors of cells that will probably become keypoints, kept while tiles are seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.nn.detection import DetectionOptions, best, detect_logits, logit

SLACK = 1.1
"""Detection in a tile alone also finds cells that a better one beyond its border suppresses."""


@dataclass(frozen=True, eq=False)
class Described:
    """Some cells of an image.

    cells: (K,) int64, row * width + column
    scores: (K,) logits
    raw: (K, D) raw descriptors
    """

    cells: Tensor
    scores: Tensor
    raw: Tensor

    def join(self, other: Described) -> Described:
        """These and the others."""
        return Described(
            torch.cat([self.cells, other.cells]),
            torch.cat([self.scores, other.scores]),
            torch.cat([self.raw, other.raw]),
        )

    def select(self, kept: Tensor) -> Described:
        """Those at some indices."""
        return Described(self.cells[kept], self.scores[kept], self.raw[kept])


class LikelyCells:
    """The best cells of the tiles so far, about as many as `options` make keypoints of an image."""

    def __init__(self, options: DetectionOptions, none: Tensor) -> None:
        """`none`: (0, D) raw descriptors."""
        self._options = dataclasses.replace(options, border=0)
        self._kept = Described(none.new_empty(0, dtype=torch.int64), none.new_empty(0), none)

    def of(self, logits: Tensor) -> Tensor:
        """(K,) int64 cells of a tile's (h, w) logits that may become keypoints."""
        return detect_logits(logits, self._options)

    def worth(self, scores: Sequence[Tensor]) -> list[Tensor]:
        """Which cells with these logits, (K,) of a tile each, are worth a descriptor: (K,) bool."""
        known = torch.cat([self._kept.scores, *scores])
        wanted = self._wanted(known)
        if len(known) <= wanted:
            return [torch.ones_like(each, dtype=torch.bool) for each in scores]
        least = known.topk(wanted).values.min() if wanted > 0 else torch.inf
        return [each >= least for each in scores]

    def add(self, described: Described) -> None:
        """Keep the descriptors of these cells, and only as many as may be needed."""
        kept = self._kept.join(described)
        wanted = self._wanted(kept.scores)
        self._kept = kept.select(best(kept.scores, wanted)) if len(kept.cells) > wanted else kept

    def _wanted(self, scores: Tensor) -> int:
        """How many of all cells with (K,) logits so far may be needed."""
        above = int((scores > logit(self._options.threshold)).sum())
        wanted = max(above, self._options.top_k)
        return int(SLACK * min(wanted, self._options.max_keypoints or wanted))

    def find(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the (K,) cells are kept, (K,) bool, and (F, D) raw descriptors of those."""
        found = torch.isin(cells, self._kept.cells)
        in_order, order = self._kept.cells.sort()
        return found, self._kept.raw[order[torch.searchsorted(in_order, cells[found])]]
