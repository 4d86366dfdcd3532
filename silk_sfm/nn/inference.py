"""SiLK without training: the outputs of the network, faster.

`inference_for` picks the kernels; all of them give the network's logits and raw descriptors up to
the rounding of their precision.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.folding import are_few, fold
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.winograd import WinogradInference

Arithmetic = Literal["float32", "bfloat16"]


class Inference(Protocol):
    """Maps of one image, for one set of weights in eval mode."""

    architecture: Architecture
    offset: int
    """Cell (row, column) of an output map lies on pixel (row + offset, column + offset)."""

    def features(self, pixels: Tensor) -> Any:
        """(H, W) float32 grey in 0..1 -> what the two other methods read."""

    def logits(self, features: Any) -> Tensor:
        """(h, w) float32 keypoint logits."""

    def raw_descriptors_at(self, features: Any, rows: Tensor, columns: Tensor) -> Tensor:
        """(K,) int64 cells of the map of logits -> (K, D) float32 raw descriptors."""


def inference_for(network: SilkNetwork, arithmetic: Arithmetic = "float32") -> Inference:
    """The fastest kernels for this network on its device."""
    if network.device.type == "cpu" and arithmetic == "float32" and network.padding == 0:
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

    def features(self, pixels: Tensor) -> Tensor:
        """(H, W) -> (1, C, h', w')."""
        maps = pixels[None, None].to(self._dtype)
        for layer in self._folded.backbone:
            maps = layer(maps)
        return maps

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
        return head.at(lambda part: _patches(maps, top[part], left[part]), len(rows))


def _patches(maps: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """(K, 3, 3, C) patches of an (h, w, C) map; cells outside of it read as 0, the padding."""
    height, width, _ = maps.shape
    step = torch.arange(3, device=maps.device)
    rows = top[:, None, None] + step[:, None]  # (K, 3, 1)
    columns = left[:, None, None] + step  # (K, 1, 3)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return maps[rows.clamp(0, height - 1), columns.clamp(0, width - 1)] * inside[..., None]
