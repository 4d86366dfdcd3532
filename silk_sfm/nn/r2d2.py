"""The R2D2 network (Revaud et al., NeurIPS 2019, arXiv 1906.06195), after the paper.

The paper: "R2D2: Repeatable and Reliable Detector and Descriptor". Maps have full resolution: every
stride of the L2-Net that the network is made from became a dilation of the layers behind it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.catalogues import R2D2
from silk_sfm.nn.neighbourhood import largest_around
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.state import load_state, read_state

DESCRIPTOR_SIZE = 128
PATCH = 32
"""Pixels a side of what a descriptor stands for, at the scale at which it was found."""

CHANNELS = (3, 32, 32, 64, 64, 128, 128)
DILATIONS = (1, 1, 1, 2, 2, 4)
LAST_DILATIONS = (4, 8, 16)
"""Of three 2x2 convolutions, in place of one of 8x8."""

REACH = sum(DILATIONS) + sum(LAST_DILATIONS) // 2
"""Pixels that an output sees in each direction."""


class R2d2Network(nn.Module):
    """Colour images (N, 3, H, W), normalised as for ImageNet."""

    def __init__(self) -> None:
        super().__init__()
        self.ops = nn.Sequential(*_layers())
        self.clf = nn.Conv2d(DESCRIPTOR_SIZE, 2, 1)
        self.sal = nn.Conv2d(DESCRIPTOR_SIZE, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 1, H, W) repeatability and reliability, (N, 128, H, W) descriptors.

        The first two lie in 0..1, descriptors have length 1 (paper, section 3.1).
        """
        raw = self.ops(image)
        squared = raw**2
        activity = functional.softplus(self.sal(squared))
        reliability = torch.softmax(self.clf(squared), dim=1)[:, 1:]
        return activity / (1 + activity), reliability, functional.normalize(raw, dim=1)


def _layers() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for (before, after), dilation in zip(pairwise(CHANNELS), DILATIONS, strict=True):
        layers.append(nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation))
        layers += [_norm(after), nn.ReLU(inplace=True)]
    width = CHANNELS[-1]
    for dilation in LAST_DILATIONS:
        layers.append(nn.Conv2d(width, width, 2, padding=dilation // 2, dilation=dilation))
        layers.append(_norm(width))
    return layers[:-1]


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False)


def local_maxima(repeatability: Tensor) -> Tensor:
    """(H, W) bool: is nothing in the 3 x 3 pixels around larger? Equal neighbours are both kept."""
    return repeatability == largest_around(repeatability, 1, -math.inf)


SLACK = 0.001
"""Of scales at the limits."""

SCALE_FACTOR = math.sqrt(math.sqrt(2))
"""Between two levels (paper, section 4.1)."""


@dataclass(frozen=True)
class Pyramid:
    """Which sizes of an image are looked at.

    min_scale, max_scale: relative to the image
    min_size, max_size: pixels of the longer side
    factor: between two levels
    """

    min_scale: float = 0.0
    max_scale: float = 1.0
    min_size: int = 256
    max_size: int = 1024
    factor: float = SCALE_FACTOR

    def levels(self, size: tuple[int, int]) -> list[Level]:
        """The levels of an image of `size` = (width, height), largest first, perhaps none.

        Levels above the limits are there, unused, because each is made from the one before.
        """
        longer = max(size)
        least = max(self.min_scale, self.min_size / longer)
        most = min(self.max_scale, self.max_size / longer)
        levels, scale = [], 1.0
        while scale + SLACK >= least and scale * longer >= 1:
            levels.append(_level(size, scale, scale - SLACK <= most))
            scale /= self.factor
        return levels


@dataclass(frozen=True)
class Level:
    """One size of an image: (width, height), its scale, and whether it is used."""

    size: tuple[int, int]
    scale: float
    used: bool


def _level(size: tuple[int, int], scale: float, used: bool) -> Level:
    width, height = (max(1, round(side * scale)) for side in size)
    return Level((width, height), scale, used)


def load_r2d2(source: str | Path) -> R2d2Network:
    """The network of a weights name (`r2d2-wasf-n16`) or file, in eval mode.

    Raises WeightsError, one line that names the file, when it holds anything else.
    """
    path = find_weights(source, catalogue=R2D2)
    state = {name.removeprefix("module."): value for name, value in read_state(path).items()}
    network = R2d2Network()
    load_state(network, state, path, "R2D2")
    return network.eval()
