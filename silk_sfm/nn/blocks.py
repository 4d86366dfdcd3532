"""The two building blocks of SiLK: a 3x3 block and a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCHES_AT_ONCE = 8192
"""Bounds the memory of `Head.at`: 8,192 patches of 128 channels are 38 MB."""


class Block(nn.Module):
    """3x3 convolution, ReLU, batch normalisation, in this order."""

    def __init__(self, channels_in: int, channels_out: int, padding: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=padding)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W') with H' = H - 2 + 2 padding."""
        return batch_norm(self.norm, functional.relu_(self.convolution(maps)))


class Head(nn.Module):
    """A 3x3 block, then a 1x1 convolution and batch normalisation without ReLU."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int, padding: int) -> None:
        super().__init__()
        self.block = Block(channels_in, hidden, padding)
        self.projection = nn.Conv2d(hidden, channels_out, 1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W')."""
        return batch_norm(self.norm, self.projection(self.block(features)))

    def at(self, features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """The head's output at single cells, without computing the others.

        features: (C_in, H, W) of one image; rows, columns: (K,) int64 cells of the output map.
        Returns (K, C_out), equal to `forward` there up to rounding. Only in eval mode: in training
        the normalisation depends on all cells.
        """
        starts = range(0, len(rows), PATCHES_AT_ONCE)
        parts = [slice(start, start + PATCHES_AT_ONCE) for start in starts]
        outputs = [self._at_few(features, rows[part], columns[part]) for part in parts]
        return torch.cat(outputs) if outputs else features.new_zeros(0, self.norm.num_features)

    def _at_few(self, features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        padding = int(self.block.convolution.padding[0])
        patches = gather_patches(features, rows - padding, columns - padding)  # (K, C_in, 3, 3)
        hidden = functional.relu_(
            functional.conv2d(patches, *_weights(self.block.convolution))
        )  # (K, hidden, 1, 1)
        outputs = functional.conv2d(batch_norm(self.block.norm, hidden), *_weights(self.projection))
        return batch_norm(self.norm, outputs)[:, :, 0, 0]  # (K, C_out)


def batch_norm(norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    """Batch normalisation; in inference in place, because a map of a photo is hundreds of MB."""
    if norm.training or torch.is_grad_enabled():
        normalised: Tensor = norm(maps)
        return normalised
    scale, shift = _affine(norm)
    return maps.mul_(scale[:, None, None]).add_(shift[:, None, None])


def gather_patches(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(K, C, 3, 3) patches of a (C, H, W) map whose top-left cells are (rows, columns).

    Cells outside of the map read as 0, which is what a padded convolution sees.
    """
    _, height, width = features.shape
    step = torch.arange(3, device=features.device)
    rows = rows[:, None, None] + step[:, None]  # (K, 3, 1)
    columns = columns[:, None, None] + step  # (K, 1, 3)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (K, 3, 3)
    cells = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    patches = features.permute(1, 2, 0)[cells] * inside[..., None]  # (K, 3, 3, C)
    return patches.permute(0, 3, 1, 2)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(C,) scale and shift of a normalisation with fixed statistics."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("This normalisation keeps no running statistics.")
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _weights(convolution: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    return convolution.weight, convolution.bias
