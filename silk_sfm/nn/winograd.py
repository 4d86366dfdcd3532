"""SiLK in float32 on a CPU with half the multiplications: Winograd's F(4, 3) along rows.

Four neighbouring outputs of a 3-tap filter need 6 products instead of 12 (Lavin and Gray, Fast
Algorithms for Convolutional Neural Networks, CVPR 2016, section 4). Each of the 6 is a 3x1
convolution over a quarter of the columns, done by the library; the rest is additions.

Maps are kept in phases: column x of a map is tile x // 4 of phase x % 4, so that all additions run
over contiguous memory. The one tile beyond the last is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.cuts import cuts
from silk_sfm.nn.folding import Convolution, FoldedSilk, are_few, patch_cells, select_cells
from silk_sfm.nn.workers import Workers, as_many_workers

PHASES = 4
INLINE = Workers()
FILTER_TRANSFORM = (  # Lavin and Gray, equation 10: values at 0, 1, -1, 2, -2 and infinity
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
BLOCK_ROWS = 32
BLOCK_TILES = 80
"""Most rows and tiles worked on at a time; measured fastest, 11 MB at 128 channels."""
LEAST_ROWS = 8
"""Fewer are not worth a block of their own: each reads two rows more than it makes."""
TILE_PIXELS = 125_000
"""The largest image seen whole; larger tiles of others than half of that were not faster."""
KEPT_PIXELS = 500_000
"""The features of an image of so many are kept: 256 MB of pvgg-4."""


@dataclass(frozen=True, eq=False)
class Phases:
    """A map of one image.

    data: (4, H, T + 1, C) float32, [x % 4, y, x // 4] is cell (y, x); the last tile is 0
    width: number of columns; those beyond it hold numbers that mean nothing
    """

    data: Tensor
    width: int

    @property
    def height(self) -> int:
        """H."""
        return self.data.shape[1]

    @property
    def n_tiles(self) -> int:
        """T."""
        return self.data.shape[2] - 1

    def block(self, rows: slice, tiles: slice) -> Tensor:
        """(4, R, B, C) of it, without a copy."""
        return self.data[:, rows, tiles]

    def rows(self, top: int, bottom: int) -> Phases:
        """Rows top..bottom, end excluded, without a copy."""
        return Phases(self.data[:, top:bottom], self.width)

    def joined(self) -> Tensor:
        """(H, width, C) with the columns in order."""
        columns = self.data[:, :, :-1].permute(1, 2, 0, 3).flatten(1, 2)  # (H, 4 T, C)
        return columns[:, : self.width]


class FirstMaps:
    """The map of the first layer, in phases; a block is computed when the next layer asks for it.

    With one channel in and many out it takes longer to write and to read the map than to make it.
    """

    def __init__(self, pixels: Tensor, layer: Convolution) -> None:
        """pixels: (H + 2, W + 2)."""
        self.height, self.width = (side - 2 for side in pixels.shape)
        self.n_tiles = -(-self.width // PHASES)
        beyond = PHASES * (self.n_tiles + 1) - self.width
        self._pixels = functional.pad(pixels, (0, beyond))
        self._kernel = layer.weight[:, 0].flatten(1).T.contiguous()  # (9, C)
        self._bias = layer.bias

    def block(self, rows: slice, tiles: slice) -> Tensor:
        """(4, R, B, C)."""
        columns = slice(PHASES * tiles.start, PHASES * tiles.stop + 2)
        pixels = self._pixels[rows.start : rows.stop + 2, columns]
        size = PHASES, rows.stop - rows.start, tiles.stop - tiles.start
        row, column = pixels.stride()
        surroundings = pixels.as_strided(
            (*size, 3, 3), (column, row, PHASES * column, row, column), pixels.storage_offset()
        )
        maps = torch.addmm(self._bias, surroundings.reshape(-1, 9), self._kernel)
        return maps.relu_().view(*size, len(self._bias))


class WinogradConvolution:
    """3x3 convolution without padding, and ReLU, on maps in phases."""

    def __init__(self, layer: Convolution) -> None:
        transform = torch.tensor(FILTER_TRANSFORM, dtype=torch.float64)
        filters = torch.einsum("kcyx,px->pkcy", layer.weight.double(), transform).float()
        self._filters = [
            kernel[..., None].contiguous(memory_format=torch.channels_last) for kernel in filters
        ]  # 6 of (K, C, 3, 1)
        self._bias = layer.bias

    def __call__(self, maps: Phases | FirstMaps, workers: Workers = INLINE) -> Phases:
        """(4, H, T + 1, C) -> (4, H - 2, T + 1, K), two columns less wide."""
        height, n_tiles = maps.height - 2, maps.n_tiles
        outputs = _empty(PHASES, height, n_tiles + 1, len(self._bias))

        def convolve_block(block: tuple[tuple[int, int], tuple[int, int]]) -> None:
            (top, bottom), (left, right) = block
            inputs = maps.block(slice(top, bottom + 2), slice(left, right + 1))
            self._convolve(inputs, outputs[:, top:bottom, left:right])
            if right == n_tiles:
                outputs[:, top:bottom, n_tiles] = 0

        most_rows = min(BLOCK_ROWS, max(LEAST_ROWS, height // (2 * workers.count)))
        blocks = product(pairwise(cuts(height, most_rows)), pairwise(cuts(n_tiles, BLOCK_TILES)))
        workers.map(convolve_block, blocks)
        return Phases(outputs, maps.width - 2)

    def _convolve(self, inputs: Tensor, outputs: Tensor) -> None:
        """(4, R + 2, B + 1, C) -> (4, R, B, K), written to `outputs`."""
        products = []
        for index, part in enumerate(_inputs_of(inputs)):  # (R + 2, B, C)
            bias = self._bias if index == 1 else None  # the product that all four outputs add once
            maps = functional.conv2d(part.permute(2, 0, 1)[None], self._filters[index], bias)
            products.append(maps[0].permute(1, 2, 0))  # (R, B, K)
        _outputs_of(products, outputs)
        outputs.relu_()


def _empty(*shape: int) -> Tensor:
    """float32 numbers of any value.

    Of numpy, which asks the system for large pages: to write to 66 MB of new memory takes 4 ms
    with them, 30 ms without.
    """
    return torch.from_numpy(np.empty(shape, np.float32))


def _inputs_of(columns: Tensor) -> list[Tensor]:
    """(4, R, B + 1, C) -> 6 of (R, B, C), what the products take: Lavin and Gray, equation 10.

    With d0..d5 the columns of a tile and the first two of the next one:
    4 d0 - 5 d2 + d4, -4 d1 - 4 d2 + d3 + d4, 4 d1 - 4 d2 - d3 + d4,
    -2 d1 - d2 + 2 d3 + d4, 2 d1 - d2 - 2 d3 + d4, 4 d1 - 5 d3 + d5.
    """
    d0, d1, d2, d3 = columns[:, :, :-1]
    d4, d5 = columns[:2, :, 1:]
    even, odd = d4 - d2, d3 - d1
    v3 = torch.add(even, odd, alpha=2)
    v4 = torch.sub(even, odd, alpha=2)
    v0 = torch.sub(d0, d2).mul_(4).add_(even)
    v5 = torch.sub(d5, d3).sub_(odd, alpha=4)
    torch.sub(d4, d2, alpha=4, out=even)
    torch.sub(d3, d1, alpha=4, out=odd)
    v1 = even + odd
    return [v0, v1, even.sub_(odd), v3, v4, v5]


def _outputs_of(products: list[Tensor], outputs: Tensor) -> None:
    """6 of (R, B, K) -> (4, R, B, K): m0 + a + c, b + 2 d, a + 4 c, b + 8 d + m5.

    a, b = m1 + m2, m1 - m2 and c, d = m3 + m4, m3 - m4. Changes the products.
    """
    m0, m1, m2, m3, m4, m5 = products
    a = m1 + m2
    b = m1.sub_(m2)
    c = torch.add(m3, m4, out=m2)
    d = m3.sub_(m4)
    torch.add(m0.add_(a), c, out=outputs[0])
    torch.add(b, d, alpha=2, out=outputs[1])
    torch.add(a, c, alpha=4, out=outputs[2])
    torch.add(m5.add_(b), d, alpha=8, out=outputs[3])


class WinogradInference:
    """The inference path in float32 on a CPU, for a network without padding."""

    def __init__(self, architecture: Architecture, offset: int, folded: FoldedSilk) -> None:
        self.architecture, self.offset = architecture, offset
        self.tile_pixels, self.kept_pixels = TILE_PIXELS, KEPT_PIXELS
        self._folded = folded
        self._first, *others = folded.backbone
        self._second, *self._rest = [WinogradConvolution(layer) for layer in others]
        self._detector, self._descriptor = folded.detector, folded.descriptor
        self._detector_hidden = WinogradConvolution(folded.detector.convolution)
        self._descriptor_hidden = WinogradConvolution(folded.descriptor.convolution)

    def features(self, pixels: Tensor) -> Phases:
        """(H, W) -> (4, h', T + 1, C)."""
        with as_many_workers() as workers:
            maps = self._second(FirstMaps(pixels, self._first), workers)
            for layer in self._rest:
                maps = layer(maps, workers)
        return maps

    def logits(self, features: Phases) -> Tensor:
        """(h, w), some rows at a time, so that the hidden map never exists as a whole."""
        edges = cuts(features.height - 2, BLOCK_ROWS)
        bands = [features.rows(top, bottom + 2) for top, bottom in pairwise(edges)]
        with as_many_workers() as workers:
            return torch.cat(workers.map(self._logits_of_band, bands))

    def raw_descriptors_at(self, features: Phases, rows: Tensor, columns: Tensor) -> Tensor:
        """From patches around the cells, or from the whole map when most cells are asked for."""
        data = features.data
        if not are_few(len(rows), features.height * features.width):
            hidden = self._descriptor_hidden(features).data
            return self._descriptor.project(hidden[columns % PHASES, rows, columns // PHASES])

        def patches(part: slice) -> Tensor:
            y, x = patch_cells(rows[part], columns[part])
            cells = (x % PHASES * data.shape[1] + y) * data.shape[2] + x // PHASES
            return select_cells(data.flatten(0, 2), cells)

        return self._descriptor.at(patches, len(rows))

    def raw_descriptors_of(self, patches: Tensor) -> Tensor:
        """By the library's convolutions."""
        return self._folded.raw_descriptors_of(patches)

    def _logits_of_band(self, band: Phases) -> Tensor:
        hidden = self._detector_hidden(band)
        logits = self._detector.project(hidden.data.flatten(0, 2))
        return Phases(logits.view(*hidden.data.shape[:3], 1), hidden.width).joined()[..., 0]
