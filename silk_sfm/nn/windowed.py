"""Networks with a stride on large images: window by window, less memory, the same maps.

Windows begin at whole cells of the coarsest map, so every layer meets the pixels as it does in the
whole image; each is computed with a margin that covers all that its cells see, which is cut off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from silk_sfm.nn.cuts import cuts

Maps = tuple[Tensor, ...]


@dataclass(frozen=True)
class Footprint:
    """How the maps of a network lie on its input.

    strides: pixels per cell of each map; the largest is a multiple of the others
    reach: how many pixels beyond its own ones a cell depends on, at most
    """

    strides: tuple[int, ...]
    reach: int

    @property
    def stride(self) -> int:
        """Pixels per cell of the coarsest map."""
        return max(self.strides)

    @property
    def margin(self) -> int:
        """`reach` in whole cells, in pixels."""
        return math.ceil(self.reach / self.stride) * self.stride


def run_windowed(
    network: Callable[[Tensor], Maps], image: Tensor, footprint: Footprint, window_pixels: int
) -> Maps:
    """The maps of a (1, C, H, W) image; the network sees about `window_pixels` of it at a time."""
    height, width = image.shape[2:]
    if height * width <= window_pixels:
        return network(image)
    side = max(math.isqrt(window_pixels) - 2 * footprint.margin, 1)
    rows = cut(height, side, footprint.stride, footprint.margin)
    columns = cut(width, side, footprint.stride, footprint.margin)
    strips = [
        _join([_run_one(network, image, footprint, row, column) for column in columns], dim=3)
        for row in rows
    ]
    return _join(strips, dim=2)


@dataclass(frozen=True)
class Span:
    """Pixels kept..end along one axis, computed from the pixels first..last; ends excluded."""

    kept: int
    end: int
    first: int
    last: int
    is_last: bool

    def cells(self, stride: int) -> slice:
        """The cells to keep of a map of the pixels first..last."""
        start = (self.kept - self.first) // stride
        return slice(start, None if self.is_last else start + (self.end - self.kept) // stride)


def cut(length: int, side: int, stride: int, margin: int) -> list[Span]:
    """Spans of nearly equal size that cover `length` pixels once, about `side` pixels long.

    Each starts at a multiple of `stride` and sees `margin` pixels, such a multiple, on both sides.
    """
    cells = cuts(math.ceil(length / stride), max(1, side // stride))
    edges = [cell * stride for cell in cells[:-1]] + [length]
    return [
        Span(kept, end, max(0, kept - margin), min(length, end + margin), end == length)
        for kept, end in pairwise(edges)
    ]


def _run_one(
    network: Callable[[Tensor], Maps], image: Tensor, footprint: Footprint, row: Span, column: Span
) -> Maps:
    maps = network(image[:, :, row.first : row.last, column.first : column.last])
    return tuple(
        each[:, :, row.cells(stride), column.cells(stride)]
        for each, stride in zip(maps, footprint.strides, strict=True)
    )


def _join(parts: list[Maps], dim: int) -> Maps:
    return tuple(torch.cat(pieces, dim) for pieces in zip(*parts, strict=True))
