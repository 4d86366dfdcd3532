"""The two building blocks of SiLK: a 3x3 block and a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """3x3 convolution, ReLU, batch normalisation, in this order."""

    def __init__(self, channels_in: int, channels_out: int, padding: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=padding)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W') with H' = H - 2 + 2 padding."""
        normalised: Tensor = self.norm(functional.relu_(self.convolution(maps)))
        return normalised


class Head(nn.Module):
    """A 3x3 block, then a 1x1 convolution and batch normalisation without ReLU."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int, padding: int) -> None:
        super().__init__()
        self.block = Block(channels_in, hidden, padding)
        self.projection = nn.Conv2d(hidden, channels_out, 1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W')."""
        projected: Tensor = self.norm(self.projection(self.block(features)))
        return projected


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(C,) scale and shift of a normalisation with fixed statistics."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("This normalisation keeps no running statistics.")
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
