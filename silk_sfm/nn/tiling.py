"""Large images in tiles: less memory, the same result.

A tile of the output map is computed from the pixels it depends on, `reach` more on each side, so
nothing changes at the seams. With padding only the image's own border is padded: cells that see
the padding of an inner tile border are computed and dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product

from torch import Tensor

from silk_sfm.nn.silk import SilkNetwork


@dataclass(frozen=True)
class Window:
    """A rectangle of output cells: rows top..bottom, columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def contains(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) bool: which cells lie in it."""
        inside_rows = (rows >= self.top) & (rows < self.bottom)
        return inside_rows & (columns >= self.left) & (columns < self.right)


def split(height: int, width: int, side: int) -> list[Window]:
    """Windows that cover a (height, width) map once, of nearly equal size, none above `side`."""
    rows, columns = _cuts(height, side), _cuts(width, side)
    return [Window(*row, *column) for row, column in product(pairwise(rows), pairwise(columns))]


def _cuts(length: int, side: int) -> list[int]:
    parts = math.ceil(length / side)
    return [length * part // parts for part in range(parts + 1)]


class TiledSilk:
    """The logits of one image and its descriptors at chosen cells, computed tile by tile.

    image: (H, W) float32, at least as large as the receptive field; a tile sees at most
    `tile_pixels` of it. The network is in eval mode.
    """

    def __init__(self, network: SilkNetwork, image: Tensor, tile_pixels: int) -> None:
        self._network = network
        self._image = image
        self._kept: Tensor | None = None  # the features of the only tile
        self.height, self.width = (side - 2 * network.offset for side in image.shape)
        whole = image.numel() <= tile_pixels
        reach = network.architecture.reach
        side = max(image.shape) if whole else max(1, math.isqrt(tile_pixels) - 2 * reach)
        self.windows = split(self.height, self.width, side)

    def logits(self) -> Tensor:
        """(h, w) logits of the whole image."""
        logits = self._image.new_empty(self.height, self.width)
        for window in self.windows:
            tile: Tensor = self._network.detector(self._features(window))  # (1, 1, th, tw)
            top, left = self._origin(window)
            rows = slice(window.top - top, window.bottom - top)
            columns = slice(window.left - left, window.right - left)
            logits[window.top : window.bottom, window.left : window.right] = tile[
                0, 0, rows, columns
            ]
        return logits

    def raw_descriptors_at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) int64 cells each -> (K, D) raw descriptors; tiles without cells cost nothing."""
        raw = self._image.new_empty(len(rows), self._network.architecture.descriptor_size)
        for window in self.windows:
            inside = window.contains(rows, columns)
            if inside.any():
                top, left = self._origin(window)
                features = self._features(window)[0]
                cells = rows[inside] - top, columns[inside] - left
                raw[inside] = self._network.descriptors_at(features, *cells)
        return raw

    def _origin(self, window: Window) -> tuple[int, int]:
        """The first pixel a window sees, which is also the first cell of its tile's maps."""
        margin = self._network.architecture.reach - self._network.offset
        return max(0, window.top - margin), max(0, window.left - margin)

    def _features(self, window: Window) -> Tensor:
        """(1, C, th, tw) features of the pixels a window sees; kept when it is the only one."""
        if self._kept is not None:
            return self._kept
        after = self._network.architecture.reach + self._network.offset
        top, left = self._origin(window)
        pixels = self._image[top : window.bottom + after, left : window.right + after]
        features = self._network.backbone(pixels[None, None])
        if len(self.windows) == 1:
            self._kept = features
        return features
