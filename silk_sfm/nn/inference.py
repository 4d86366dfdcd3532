"""SiLK without training: the outputs of the network, faster.

`inference_for` picks the kernels; all of them give the network's logits and raw descriptors up to
the rounding of their precision.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from silk_sfm.nn.allocator import keep_freed_memory
from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.folding import are_few, fold, patch_cells, select_cells
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.winograd import WinogradInference

Arithmetic = Literal["float32", "bfloat16"]

WINOGRAD_CHANNELS = 128
"""With fewer its additions take as long as the multiplications they save."""
MAP_BYTES = 40 * 2**20
"""Of the largest map of an image that is seen whole on a CPU. For tiles of a larger one half of it:
such maps are written to memory that is kept."""
DEVICE_PIXELS = 2_000_000
"""Seen whole on a GPU."""
KEPT_TIMES = 4
"""So many times the pixels of an image that is seen whole on a CPU: 160 MB of features."""


class Inference(Protocol):
    """Maps of one image, for one set of weights in eval mode."""

    architecture: Architecture
    offset: int
    """Cell (row, column) of an output map lies on pixel (row + offset, column + offset)."""
    tile_pixels: int
    """The largest image to see whole; the tiles of others have half of that."""
    kept_pixels: int
    """The features of an image of at most so many are kept until all is known of it."""

    def features(self, pixels: Tensor) -> Any:
        """(H, W) float32 grey in 0..1 -> what `logits` and `raw_descriptors_at` read."""

    def logits(self, features: Any) -> Tensor:
        """(h, w) float32 keypoint logits."""

    def raw_descriptors_at(self, features: Any, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) int64 cells of the map of logits -> (K, D) float32 raw descriptors."""

    def raw_descriptors_of(self, patches: Tensor) -> Tensor:
        """(K, R, R) float32 grey, all that one cell sees -> (K, D) float32 raw descriptors."""


def inference_for(network: SilkNetwork, arithmetic: Arithmetic = "float32") -> Inference:
    """The fastest kernels for this network on its device.

    AVX-512 multiplies so fast that it is no use to multiply less. On a CPU the process keeps freed
    memory from now on, see `keep_freed_memory`.
    """
    on_cpu = network.device.type == "cpu"
    if on_cpu:
        keep_freed_memory()
    is_possible = on_cpu and arithmetic == "float32" and network.padding == 0
    is_wide = max(network.architecture.stage_channels) >= WINOGRAD_CHANNELS
    if is_possible and is_wide and torch.backends.cpu.get_cpu_capability() != "AVX512":
        return WinogradInference(network.architecture, network.offset, fold(network))
    return DirectInference(network, arithmetic)


class DirectInference:
    """The library's convolutions, channels last; any device, padding and arithmetic.

    Maps between layers are kept in `arithmetic`; the last layer of each head is float32.
    """

    def __init__(self, network: SilkNetwork, arithmetic: Arithmetic = "float32") -> None:
        self.architecture, self.offset = network.architecture, network.offset
        self._dtype: torch.dtype = getattr(torch, arithmetic)
        self._folded = fold(network).stored_as(self._dtype)
        self._padding = network.padding
        on_cpu = network.device.type == "cpu"
        self.tile_pixels = MAP_BYTES // self._bytes_a_pixel() if on_cpu else DEVICE_PIXELS
        self.kept_pixels = KEPT_TIMES * self.tile_pixels if on_cpu else 0

    def features(self, pixels: Tensor) -> Tensor:
        """(H, W) -> (1, C, h', w')."""
        return self._folded.features(pixels.to(self._dtype)[None])

    def logits(self, features: Tensor) -> Tensor:
        """(h, w) from (1, C, h', w')."""
        head = self._folded.detector
        hidden = head.convolution(features)[0].permute(1, 2, 0)  # (h, w, K)
        return head.project(hidden.flatten(0, 1)).view(hidden.shape[:2])

    def raw_descriptors_at(self, features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """From patches around the cells, or from the whole map when most cells are asked for."""
        head, maps = self._folded.descriptor, features[0].permute(1, 2, 0)  # (h', w', C)
        if not are_few(len(rows), maps[..., 0].numel()):
            hidden = head.convolution(features)[0].permute(1, 2, 0)
            return head.project(hidden[rows, columns])
        top, left = rows - self._padding, columns - self._padding
        return head.at(lambda part: self._patches(maps, top[part], left[part]), len(rows))

    def raw_descriptors_of(self, patches: Tensor) -> Tensor:
        """Each through the network alone."""
        return self._folded.raw_descriptors_of(patches.to(self._dtype))

    def _bytes_a_pixel(self) -> int:
        """Of the largest map."""
        return max(self.architecture.stage_channels) * self._dtype.itemsize

    def _patches(self, maps: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """(3, k, 3, C) patches of an (h, w, C) map; cells outside of it read as 0, the padding."""
        height, width, _ = maps.shape
        rows, columns = patch_cells(top, left)
        if self._padding == 0:
            return select_cells(maps.flatten(0, 1), rows * width + columns)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        cells = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
        return select_cells(maps.flatten(0, 1), cells) * inside[..., None]
