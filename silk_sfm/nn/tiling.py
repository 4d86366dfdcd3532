"""Large images in tiles: less memory, the same result.

A tile of the output map is computed from the pixels it depends on, `reach` more on each side, so
nothing changes at the seams. With padding only the image's own border is padded: cells that see
the padding of an inner tile border are computed and dropped. On a CPU tiles are seen side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from silk_sfm.nn.allocator import give_back_freed_memory
from silk_sfm.nn.cuts import equal_cuts
from silk_sfm.nn.detection import DetectionOptions
from silk_sfm.nn.inference import Inference
from silk_sfm.nn.likely import Described, LikelyCells
from silk_sfm.nn.workers import Workers, as_many_workers, worker_count

AT_ONCE = 8
"""Most tiles seen side by side on a CPU, which bounds the memory; several cores may share one."""
LARGE = 16_000_000
"""Of a map of so many cells detection takes more memory than tiles: theirs is given back before."""


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


def split(height: int, width: int, margin: int, most_pixels: int, at_once: int = 1) -> list[Window]:
    """Windows of nearly equal size that cover a (height, width) map once.

    With `margin` cells more on each side none has more than `most_pixels`, or it is a single cell.
    Of all such grids the one that is seen soonest, `at_once` windows at a time.
    """
    grids = [(height, width)]
    for n_rows in range(1, height + 1):
        side = math.ceil(height / n_rows) + 2 * margin
        most_columns = most_pixels // side - 2 * margin
        if most_columns > 0:
            n_columns = math.ceil(width / most_columns)
            full = at_once // math.gcd(n_rows, at_once)  # as many columns leave nobody idle
            grids += [(n_rows, n_columns), (n_rows, min(width, math.ceil(n_columns / full) * full))]

    def seen(grid: tuple[int, int]) -> tuple[float, int]:
        n_windows = grid[0] * grid[1]
        pixels = (height + 2 * margin * grid[0]) * (width + 2 * margin * grid[1])
        return pixels / n_windows * math.ceil(n_windows / at_once), pixels

    n_rows, n_columns = min(grids, key=seen)
    rows, columns = equal_cuts(height, n_rows), equal_cuts(width, n_columns)
    return [Window(*row, *column) for row, column in product(pairwise(rows), pairwise(columns))]


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen through one window.

    features: of the pixels it sees
    logits: (h, w) of its cells
    likely: (K,) int64, those of its cells that may be asked for, row * w + column
    """

    window: Window
    features: Any
    logits: Tensor
    likely: Tensor


class TiledSilk:
    """The logits of one image and its descriptors at chosen cells, computed tile by tile.

    image: (H, W) float32, at least as large as the receptive field
    tile_pixels: an image of at most so many is seen whole, a larger one in tiles of half of that;
        features are kept where `inference` says so
    likely: which cells will be asked for; their descriptors are computed along with the logits
        where features are not kept
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
        self.height, self.width = (side - 2 * inference.offset for side in image.shape)
        at_once = worker_count(AT_ONCE) if image.device.type == "cpu" else 1
        self.windows = [Window(0, self.height, 0, self.width)]
        if image.numel() > tile_pixels:
            margin = inference.architecture.reach
            self.windows = split(self.height, self.width, margin, tile_pixels // 2, at_once)
        self._at_once = min(at_once, len(self.windows))
        self._keeps = image.numel() <= max(tile_pixels, inference.kept_pixels)
        self._kept: dict[Window, Any] = {}
        self._likely = None
        if likely is not None and not self._keeps:
            none = image.new_empty(0, inference.architecture.descriptor_size)
            self._likely = LikelyCells(likely, none)

    def logits(self) -> Tensor:
        """(h, w) logits of the whole image."""
        logits = self._image.new_empty(self.height, self.width)
        with as_many_workers(self._at_once) as workers:
            for start in range(0, len(self.windows), self._at_once):
                windows = self.windows[start : start + self._at_once]
                for window, part in zip(windows, self._logits_of(windows, workers), strict=True):
                    logits[window.slices] = part
        if logits.numel() > LARGE:
            give_back_freed_memory()
        return logits

    def raw_descriptors_at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) int64 cells each -> (K, D) raw descriptors; tiles without cells cost nothing."""
        raw = self._image.new_empty(len(rows), self._inference.architecture.descriptor_size)
        missing = torch.ones_like(rows, dtype=torch.bool)
        if self._likely is not None:
            found, known = self._likely.find(rows * self.width + columns)
            raw[found] = known
            missing = ~found
            if not missing.any():
                return raw

        def describe(window: Window) -> None:
            inside = missing & window.contains(rows, columns)
            if inside.any():
                raw[inside] = self._raw_in(window, rows[inside], columns[inside])

        with as_many_workers(self._at_once) as workers:
            workers.map(describe, self.windows)
        return raw

    def _logits_of(self, windows: list[Window], workers: Workers) -> list[Tensor]:
        """(h, w) of each; likely cells are described on the way."""
        tiles = workers.map(self._see, windows)
        if self._likely is not None:
            self._describe_likely(self._likely, tiles, workers)
        return [tile.logits for tile in tiles]

    def _see(self, window: Window) -> Seen:
        features, (top, left) = self._features(window), self._origin(window)
        if self._keeps:
            self._kept[window] = features
        rows = slice(window.top - top, window.bottom - top)
        columns = slice(window.left - left, window.right - left)
        logits = self._inference.logits(features)[rows, columns]
        likely = logits.new_empty(0, dtype=torch.int64)
        if self._likely is not None:
            likely = self._likely.of(logits)
        return Seen(window, features, logits, likely)

    def _describe_likely(self, likely: LikelyCells, tiles: list[Seen], workers: Workers) -> None:
        """Those that no better ones of these or earlier tiles have made unlikely."""

        def describe(job: tuple[Seen, Tensor]) -> Described:
            tile, cells = job
            width = tile.logits.shape[1]
            rows, columns = cells // width + tile.window.top, cells % width + tile.window.left
            raw = self._raw_from(tile.window, tile.features, rows, columns)
            return Described(rows * self.width + columns, tile.logits.flatten()[cells], raw)

        worth = likely.worth([tile.logits.flatten()[tile.likely] for tile in tiles])
        cells = [tile.likely[each] for tile, each in zip(tiles, worth, strict=True)]
        for described in workers.map(describe, zip(tiles, cells, strict=True)):
            likely.add(described)

    def _raw_in(self, window: Window, rows: Tensor, columns: Tensor) -> Tensor:
        """(K, D) at cells of one window: each alone when they are few, else from the window."""
        alone = self._inference.architecture.receptive_field**2 // 2  # maps become smaller
        if window not in self._kept and len(rows) * alone < window.n_cells:
            return self._raw_alone(rows, columns)
        return self._raw_from(window, self._features(window), rows, columns)

    def _raw_alone(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(K, D), each from the pixels it sees."""
        side = self._inference.architecture.receptive_field
        patches = self._image.unfold(0, side, 1).unfold(1, side, 1)  # (H - side + 1, ...) views
        shift = self._inference.offset - self._inference.architecture.reach
        inside = Window(0, len(patches), 0, patches.shape[1]).contains(
            rows + shift, columns + shift
        )
        raw = self._image.new_empty(len(rows), self._inference.architecture.descriptor_size)
        raw[inside] = self._inference.raw_descriptors_of(
            patches[rows[inside] + shift, columns[inside] + shift]
        )
        for index in torch.nonzero(~inside):  # some of what it sees is padding
            row, column = rows[index], columns[index]
            window = _around(row, column)
            raw[index] = self._raw_from(window, self._features(window), row, column)
        return raw

    def _raw_from(self, window: Window, features: Any, rows: Tensor, columns: Tensor) -> Tensor:
        """(K, D) at cells of the image, from the features of the window they lie in."""
        top, left = self._origin(window)
        return self._inference.raw_descriptors_at(features, rows - top, columns - left)

    def _origin(self, window: Window) -> tuple[int, int]:
        """The first pixel a window sees, which is also the first cell of its tile's maps."""
        margin = self._inference.architecture.reach - self._inference.offset
        return max(0, window.top - margin), max(0, window.left - margin)

    def _features(self, window: Window) -> Any:
        """The features of the pixels a window sees."""
        if window in self._kept:
            return self._kept[window]
        after = self._inference.architecture.reach + self._inference.offset
        top, left = self._origin(window)
        pixels = self._image[top : window.bottom + after, left : window.right + after]
        return self._inference.features(pixels)
