"""Descriptors of cells that will probably become keypoints, kept while tiles are seen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.nn.detection import DetectionOptions, best, detect_logits, logit

SLACK = 1.1
"""Detection in a tile alone also finds cells that a better one beyond its border suppresses."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """cells: (K,) int64; scores: (K,) logits; raw: (K, D) raw descriptors."""

    cells: Tensor
    scores: Tensor
    raw: Tensor

    def join(self, other: _Kept) -> _Kept:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return _Kept(*(torch.cat(pair) for pair in pairs))

    def select(self, kept: Tensor) -> _Kept:
        return _Kept(self.cells[kept], self.scores[kept], self.raw[kept])


class LikelyCells:
    """The best cells of the tiles so far, about as many as `options` make keypoints of an image."""

    def __init__(self, options: DetectionOptions, none: Tensor) -> None:
        """`none`: (0, D) raw descriptors."""
        self._options = dataclasses.replace(options, border=0)
        self._kept = _Kept(none.new_empty(0, dtype=torch.int64), none.new_empty(0), none)
        self._cut = -torch.inf

    def of(self, logits: Tensor) -> Tensor:
        """(K,) int64 cells of a tile's (h, w) logits that are still worth a descriptor."""
        cells = detect_logits(logits, self._options)
        return cells[logits.flatten()[cells] >= self._cut]

    def add(self, cells: Tensor, scores: Tensor, raw: Tensor) -> None:
        """Keep the descriptors of these cells of the image, and only as many as may be needed."""
        kept = self._kept.join(_Kept(cells, scores, raw))
        above = int((kept.scores > logit(self._options.threshold)).sum())
        wanted = max(above, self._options.top_k)
        wanted = int(SLACK * min(wanted, self._options.max_keypoints or wanted))
        if len(kept.cells) > wanted:
            kept = kept.select(best(kept.scores, wanted))
            self._cut = float(kept.scores.min()) if wanted > 0 else torch.inf
        self._kept = kept

    def find(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the (K,) cells are kept, (K,) bool, and (F, D) raw descriptors of those."""
        found = torch.isin(cells, self._kept.cells)
        in_order, order = self._kept.cells.sort()
        return found, self._kept.raw[order[torch.searchsorted(in_order, cells[found])]]
