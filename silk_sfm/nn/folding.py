"""The SiLK network as plain convolutions, for inference.

A block is convolution, ReLU, batch normalisation. With fixed statistics the normalisation is
y = scale x + shift, which the next convolution can take over: W (scale x + shift) = (W scale) x +
W shift. Behind padding it cannot, because the padding is 0 after the normalisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.blocks import Block, Head, affine
from silk_sfm.nn.silk import SilkNetwork

PATCHES_AT_ONCE = 2048
"""Bounds the memory of outputs at single cells: 2,048 patches of 128 channels are 9 MB."""
ALONE_AT_ONCE = 64
"""Bounds the memory of whole networks at single cells: 64 of pvgg-4 take about 20 MB."""
CELLS_AT_ONCE = 2**14
"""Hidden cells turned into float32 at a time: 8 MB for 128 channels, which stays in the caches."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """3x3 convolution, ReLU, and what could not be folded.

    weight: (K, C, 3, 3), channels last; bias: (K,)
    scale, shift: (K,) each, applied after the ReLU; None when the next layer has taken them over
    padding: 0 or 1
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None
    padding: int = 0

    def stored_as(self, dtype: torch.dtype) -> Convolution:
        """The same in another precision."""
        scale = None if self.scale is None else self.scale.to(dtype)
        shift = None if self.shift is None else self.shift.to(dtype)
        return Convolution(self.weight.to(dtype), self.bias.to(dtype), scale, shift, self.padding)

    def __call__(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, H', W')."""
        maps = functional.conv2d(maps, self.weight, self.bias, padding=self.padding).relu_()
        if self.scale is not None and self.shift is not None:
            maps.mul_(self.scale[:, None, None]).add_(self.shift[:, None, None])
        return maps

    def at(self, patches: Tensor) -> Tensor:
        """(3, k, 3, C) patches of k cells, side by side as one image -> (k, K); no normalisation.

        The library's convolution is twice as fast as its matrix product on some CPUs.
        """
        image = patches.flatten(1, 2).permute(2, 0, 1)[None]  # (1, C, 3, 3 k)
        maps = functional.conv2d(image, self.weight, self.bias, stride=3).relu_()
        return maps[0, :, 0].T


@dataclass(frozen=True, eq=False)
class FoldedHead:
    """A convolution with ReLU, then a linear map of each cell.

    weight: (D, K) float32; bias: (D,) float32
    """

    convolution: Convolution
    weight: Tensor
    bias: Tensor

    def project(self, hidden: Tensor) -> Tensor:
        """(N, K) hidden cells of any precision -> (N, D) float32."""
        parts = [
            functional.linear(part.float(), self.weight, self.bias)
            for part in torch.split(hidden, CELLS_AT_ONCE)
        ]
        return torch.cat(parts)

    def at(self, patches: Callable[[slice], Tensor], n_cells: int) -> Tensor:
        """(n_cells, D) float32 at cells whose surroundings `patches` gives, some at a time.

        patches: slice of k cells -> (3, k, 3, C) of any precision, `[y, :, x]` the cells at y, x
        """
        outputs = [self.weight.new_zeros(0, len(self.weight))]
        for start in range(0, n_cells, PATCHES_AT_ONCE):
            hidden = self.convolution.at(patches(slice(start, start + PATCHES_AT_ONCE)))
            outputs.append(self.project(hidden))
        return torch.cat(outputs)


@dataclass(frozen=True, eq=False)
class FoldedSilk:
    """All layers of a network in eval mode, on its device."""

    backbone: tuple[Convolution, ...]
    detector: FoldedHead
    descriptor: FoldedHead

    def features(self, images: Tensor) -> Tensor:
        """(N, H, W) -> (N, C, H', W'), what both heads read, channels last."""
        maps = _channels_last(images)
        for layer in self.backbone:
            maps = layer(maps)
        return maps

    def raw_descriptors_of(self, patches: Tensor) -> Tensor:
        """(N, R, R), all that a cell sees, -> (N, D) float32; padding does not reach the middle."""
        outputs = [self.descriptor.weight.new_zeros(0, len(self.descriptor.weight))]
        for start in range(0, len(patches), ALONE_AT_ONCE):
            maps = self.features(patches[start : start + ALONE_AT_ONCE])
            first = (maps.shape[2] - 3) // 2
            middle = maps[:, :, first : first + 3, first : first + 3]
            hidden = self.descriptor.convolution.at(middle.permute(2, 0, 3, 1))
            outputs.append(self.descriptor.project(hidden))
        return torch.cat(outputs)

    def stored_as(self, dtype: torch.dtype) -> FoldedSilk:
        """The same with 3x3 convolutions in another precision."""
        heads = (
            replace(head, convolution=head.convolution.stored_as(dtype))
            for head in (self.detector, self.descriptor)
        )
        return FoldedSilk(tuple(layer.stored_as(dtype) for layer in self.backbone), *heads)


def _channels_last(images: Tensor) -> Tensor:
    """(N, H, W) -> (N, 1, H, W), so that the library sees that channels are to be last.

    Of one channel either order looks the same, but for the strides that say nothing.
    """
    n, height, width = images.shape
    size, strides = (n, 1, height, width), (height * width, 1, width, 1)
    return images.contiguous().as_strided(size, strides)


def patch_cells(top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (3, K, 1) and columns (K, 3) of the cells of 3x3 patches, from their (K,) first ones."""
    step = torch.arange(3, device=top.device)
    return top[:, None] + step[:, None, None], left[:, None] + step


def select_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """(N, C) and int64 of any shape -> (*shape, C): four times as fast as indexing."""
    return maps.index_select(0, cells.flatten()).view(*cells.shape, -1)


def are_few(n_cells: int, n_all: int) -> bool:
    """Is a 3x3 head cheaper at single cells, each with a patch of 9, than on the whole map?"""
    return 9 * n_cells < n_all


@torch.no_grad()
def fold(network: SilkNetwork) -> FoldedSilk:
    """The layers of `network`; its outputs are the same up to rounding."""
    blocks = [block for stage in network.stages for block in _blocks(stage)]
    before = [None, *(block.norm for block in blocks)]
    backbone = tuple(_convolution(block, norm) for block, norm in zip(blocks, before, strict=False))
    last = before[-1]
    return FoldedSilk(backbone, _head(network.detector, last), _head(network.descriptor, last))


def _blocks(stage: nn.Module) -> list[Block]:
    return [block for block in stage.children() if isinstance(block, Block)]


def _convolution(
    block: Block, before: nn.BatchNorm2d | None, keeps_norm: bool = True
) -> Convolution:
    """The convolution of `block` with the normalisation before it, where that can be folded."""
    weight, bias = block.convolution.weight, block.convolution.bias
    padding = int(block.convolution.padding[0])
    if bias is None:
        bias = weight.new_zeros(len(weight))
    if padding == 0 and before is not None:
        scale, shift = affine(before)
        bias = bias + torch.einsum("kcyx,c->k", weight.double(), shift.double()).float()
        weight = weight * scale[:, None, None]
    weight = weight.contiguous(memory_format=torch.channels_last)
    if padding and keeps_norm:
        return Convolution(weight, bias, *affine(block.norm), padding=padding)
    return Convolution(weight, bias, padding=padding)


def _head(head: Head, before: nn.BatchNorm2d | None) -> FoldedHead:
    """Both normalisations of a head go into its projection, which has no padding."""
    scale, shift = affine(head.block.norm)
    weight, bias = head.projection.weight[:, :, 0, 0].double(), head.projection.bias
    bias = weight @ shift.double() + (0 if bias is None else bias)
    outer_scale, outer_shift = affine(head.norm)
    weight = weight * scale * outer_scale[:, None]
    bias = bias * outer_scale + outer_shift
    convolution = _convolution(head.block, before, keeps_norm=False)
    return FoldedHead(convolution, weight.float(), bias.float())
