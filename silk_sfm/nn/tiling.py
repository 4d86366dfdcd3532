"""Large images in tiles: less memory, the same result.

A tile of the output map is computed from the pixels it depends on, `reach` more on each side, so
nothing changes at the seams. With padding only the image's own border is padded: cells that see
the padding of an inner tile border are computed and dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from silk_sfm.nn.cuts import cuts
from silk_sfm.nn.detection import DetectionOptions
from silk_sfm.nn.inference import Inference
from silk_sfm.nn.likely import LikelyCells


@dataclass(frozen=True)
class Window:
    """A rectangle of output cells: rows top..bottom, columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def n_cells(self) -> int:
        """In it."""
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of the map."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def contains(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) bool: which cells lie in it."""
        inside_rows = (rows >= self.top) & (rows < self.bottom)
        return inside_rows & (columns >= self.left) & (columns < self.right)


def _around(row: Tensor, column: Tensor) -> Window:
    """The window of a single cell."""
    return Window(int(row), int(row) + 1, int(column), int(column) + 1)


def split(height: int, width: int, margin: int, most_pixels: int) -> list[Window]:
    """Windows of nearly equal size that cover a (height, width) map once.

    With `margin` cells more on each side none has more than `most_pixels`, or it is a single cell;
    of all such grids the one whose windows have the fewest in all.
    """
    grids = [(height, width)]
    for n_rows in range(1, height + 1):
        side = math.ceil(height / n_rows) + 2 * margin
        most_columns = most_pixels // side - 2 * margin
        if most_columns > 0:
            grids.append((n_rows, math.ceil(width / most_columns)))

    def seen(grid: tuple[int, int]) -> int:
        return (height + 2 * margin * grid[0]) * (width + 2 * margin * grid[1])

    n_rows, n_columns = min(grids, key=seen)
    rows = cuts(height, math.ceil(height / n_rows))
    columns = cuts(width, math.ceil(width / n_columns))
    return [Window(*row, *column) for row, column in product(pairwise(rows), pairwise(columns))]


class TiledSilk:
    """The logits of one image and its descriptors at chosen cells, computed tile by tile.

    image: (H, W) float32, at least as large as the receptive field
    tile_pixels: an image of at most so many is seen whole and its features are kept; a larger one
        in tiles of half of that, so that memory stays below that of a whole one
    likely: which cells will be asked for; their descriptors are computed along with the logits
    """

    def __init__(
        self,
        inference: Inference,
        image: Tensor,
        tile_pixels: int,
        likely: DetectionOptions | None = None,
    ) -> None:
        self._inference = inference
        self._image = image
        self._kept: Any = None  # the features of the only tile
        none = image.new_empty(0, inference.architecture.descriptor_size)
        self._likely = None if likely is None else LikelyCells(likely, none)
        self.height, self.width = (side - 2 * inference.offset for side in image.shape)
        if image.numel() <= tile_pixels:
            self.windows = [Window(0, self.height, 0, self.width)]
        else:
            self.windows = split(
                self.height, self.width, inference.architecture.reach, tile_pixels // 2
            )

    def logits(self) -> Tensor:
        """(h, w) logits of the whole image."""
        logits = self._image.new_empty(self.height, self.width)
        for window in self.windows:
            features, (top, left) = self._features(window), self._origin(window)
            rows = slice(window.top - top, window.bottom - top)
            columns = slice(window.left - left, window.right - left)
            part = self._inference.logits(features)[rows, columns]
            logits[window.slices] = part
            if len(self.windows) > 1:
                self._describe_likely(window, features, part)
        return logits

    def raw_descriptors_at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) int64 cells each -> (K, D) raw descriptors; tiles without cells cost nothing."""
        raw = self._image.new_empty(len(rows), self._inference.architecture.descriptor_size)
        missing = torch.ones_like(rows, dtype=torch.bool)
        if self._likely is not None:
            found, known = self._likely.find(rows * self.width + columns)
            raw[found] = known
            missing = ~found
        for window in self.windows:
            inside = missing & window.contains(rows, columns)
            if inside.any():
                raw[inside] = self._raw_in(window, rows[inside], columns[inside])
        return raw

    def _describe_likely(self, window: Window, features: Any, logits: Tensor) -> None:
        if self._likely is None:
            return
        cells, (top, left) = self._likely.of(logits), self._origin(window)
        width = window.right - window.left
        rows, columns = cells // width + window.top, cells % width + window.left
        raw = self._inference.raw_descriptors_at(features, rows - top, columns - left)
        self._likely.add(rows * self.width + columns, logits.flatten()[cells], raw)

    def _raw_in(self, window: Window, rows: Tensor, columns: Tensor) -> Tensor:
        """(K, D) at cells of one window: each alone when they are few, else from the window."""
        alone = self._inference.architecture.receptive_field**2
        if self._kept is None and len(rows) * alone < window.n_cells // 4:
            each = zip(torch.split(rows, 1), torch.split(columns, 1), strict=True)
            return torch.cat([self._raw_in_tile(_around(*cell), *cell) for cell in each])
        return self._raw_in_tile(window, rows, columns)

    def _raw_in_tile(self, window: Window, rows: Tensor, columns: Tensor) -> Tensor:
        top, left = self._origin(window)
        features = self._features(window)
        return self._inference.raw_descriptors_at(features, rows - top, columns - left)

    def _origin(self, window: Window) -> tuple[int, int]:
        """The first pixel a window sees, which is also the first cell of its tile's maps."""
        margin = self._inference.architecture.reach - self._inference.offset
        return max(0, window.top - margin), max(0, window.left - margin)

    def _features(self, window: Window) -> Any:
        """The features of the pixels a window sees; kept when it is the only one."""
        if self._kept is not None:
            return self._kept
        after = self._inference.architecture.reach + self._inference.offset
        top, left = self._origin(window)
        pixels = self._image[top : window.bottom + after, left : window.right + after]
        features = self._inference.features(pixels)
        if self.windows == [window]:
            self._kept = features
        return features
