"""MSNetV0, a dense descriptor on the first stages of a ResNet-18 (lin-zju/my-descriptor-space).

All stages of this ResNet have stride 1, so that C3, the output of the second one, has a quarter of
the image's resolution. Residual blocks after He et al., arXiv 1512.03385.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.catalogues import MSNET
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.state import load_state, read_state
from silk_sfm.nn.windowed import Footprint

CELL = 4
DESCRIPTOR_SIZE = 128
FOOTPRINT = Footprint(strides=(CELL,), reach=3 + 2 + 4 * (8 + 2))
"""The 7x7 stem, the pooling behind it, then ten 3x3 convolutions at a quarter of the resolution."""

Sampling = Literal["exact", "original"]

HARRIS_BLOCK = 2
HARRIS_SOBEL = 3
HARRIS_K = 0.04
"""Of the corners that the authors' evaluation uses."""

HARRIS_CENTRE = 0.5
"""OpenCV sums over a block of 2 x 2 pixels that ends at a pixel: it is centred this much before."""


def corner_response(grey: np.ndarray) -> np.ndarray:
    """(H, W) float32 grey -> (H, W) float32 Harris response, `HARRIS_CENTRE` px off."""
    return np.asarray(cv2.cornerHarris(grey, HARRIS_BLOCK, HARRIS_SOBEL, HARRIS_K))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, added to their input; a 1x1 convolution fits the input's channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = nn.Sequential()
        if before != after:
            self.downsample.append(nn.Conv2d(before, after, 1, bias=False))
            self.downsample.append(nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H, W)."""
        changed = functional.relu(self.bn1(self.conv1(maps)))
        return functional.relu(self.bn2(self.conv2(changed)) + self.downsample(maps))


class MsNetV0(nn.Module):
    """Colour images (N, 3, H, W), normalised as for ImageNet -> (N, 128, h, w), h = ceil(H / 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Sequential(ResidualBlock(64, 64), ResidualBlock(64, 64)),
            nn.Sequential(ResidualBlock(64, 128), ResidualBlock(128, 128)),
        )
        self.regress = nn.Sequential(
            nn.Conv2d(128, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 128, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, DESCRIPTOR_SIZE, 1),
        )

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Descriptors of length 1 on one map."""
        return (functional.normalize(self.regress(self.backbone(image)), dim=1),)


_SAMPLINGS: Mapping[Sampling, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "exact": lambda xy, map_size, image_size: xy / CELL,
    "original": lambda xy, map_size, image_size: xy / image_size * map_size - 0.5,
}


def to_cells(xy: Tensor, maps: Tensor, image_shape: tuple[int, int], how: Sampling) -> Tensor:
    """(N, 2) pixels -> (N, 2) positions on (D, h, w) maps, first cell at (0, 0).

    exact: the centre of what a cell sees, which is pixel 4 i for cell i
    original: of the published code with a torch from 1.3 on, half a cell off
    """
    map_size = torch.tensor([maps.shape[2], maps.shape[1]], device=xy.device)
    image_size = torch.tensor([image_shape[1], image_shape[0]], device=xy.device)
    return _SAMPLINGS[how](xy, map_size, image_size)


def load_msnet(source: str | Path) -> MsNetV0:
    """The network of a weights file, in eval mode; its authors published none.

    Raises WeightsError, one line that names the file, when it holds anything else.
    """
    path = find_weights(source, catalogue=MSNET)
    network = MsNetV0()
    state = {plain_name(name): tensor for name, tensor in read_state(path).items()}
    load_state(network, state, path, "MSNetV0")
    return network.eval()


def plain_name(published: str) -> str:
    """Our name of a published key: `desc_extractor.regress.0.bias` becomes `regress.0.bias`."""
    name = published.removeprefix("module.").removeprefix("desc_extractor.")
    return name.replace("backbone.model.", "backbone.")
