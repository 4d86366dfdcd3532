"""The SuperPoint network (DeTone, Malisiewicz, Rabinovich, CVPR workshops 2018, arXiv 1712.07629).

Two sets of weights are in use, and both load here: the paper authors' `superpoint_v1.pth`
(convolutions only), and the retrained `superpoint_v6_from_tf.pth` of rpautrat/SuperPoint, which has
a batch normalisation behind every convolution and its ReLU.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.catalogues import SUPERPOINT
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.state import Tensors, load_state, read_state
from silk_sfm.nn.windowed import Footprint

CELL = 8
"""Pixels a side of a cell: each has 64 pixels and one class more, no keypoint."""

DESCRIPTOR_SIZE = 256
STAGE_CHANNELS = (64, 64, 128, 128)
HEAD_CHANNELS = 256
NORM_EPS = 1e-3
"""Of the retrained weights, which come from TensorFlow."""

FOOTPRINT = Footprint(strides=(CELL, CELL), reach=2 + 4 + 8 + 16 + 8)
"""Two 3x3 convolutions at strides 1, 2, 4 and 8, and one of a head at 8."""


class Block(nn.Module):
    """Convolution, ReLU except in the last layer of a head, and normalisation if there is one."""

    def __init__(self, before: int, after: int, kernel: int, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        self.relu = nn.ReLU(inplace=True) if kernel > 1 else nn.Identity()
        self.bn = nn.BatchNorm2d(after, eps=NORM_EPS) if normalised else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H, W)."""
        output: Tensor = self.bn(self.relu(self.conv(maps)))
        return output


class SuperPointNetwork(nn.Module):
    """Grey images (N, 1, H, W) in 0..1; maps have a cell for each whole 8 x 8 pixels."""

    def __init__(self, normalised: bool) -> None:
        super().__init__()
        channels = (1, *STAGE_CHANNELS)
        self.backbone = nn.ModuleList(
            nn.Sequential(
                Block(channels[stage], channels[stage + 1], 3, normalised),
                Block(channels[stage + 1], channels[stage + 1], 3, normalised),
            )
            for stage in range(len(STAGE_CHANNELS))
        )
        self.detector = _head(CELL**2 + 1, normalised)
        self.descriptor = _head(DESCRIPTOR_SIZE, normalised)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) -> logits (N, 65, H // 8, W // 8), unit descriptors (N, 256, H//8, W//8)."""
        features = image
        for number, stage in enumerate(self.backbone):
            features = functional.max_pool2d(features, 2) if number else features
            features = stage(features)
        return self.detector(features), functional.normalize(self.descriptor(features), dim=1)


def _head(channels: int, normalised: bool) -> nn.Sequential:
    return nn.Sequential(
        Block(STAGE_CHANNELS[-1], HEAD_CHANNELS, 3, normalised),
        Block(HEAD_CHANNELS, channels, 1, normalised),
    )


def pixel_scores(logits: Tensor) -> Tensor:
    """(65, h, w) logits -> (8 h, 8 w) probabilities that a pixel is the keypoint of its cell.

    A softmax over each cell; the last class, no keypoint, is dropped (paper, section 3.2). (The
    paper authors' code adds 1e-5 to the denominator of an unshifted softmax, which changes nothing
    that float32 shows unless all logits of a cell are far below 0.)
    """
    probabilities = torch.softmax(logits, dim=0)[:-1]  # (64, h, w), row-major within a cell
    return functional.pixel_shuffle(probabilities[None], CELL)[0, 0]


def load_superpoint(source: str | Path) -> SuperPointNetwork:
    """The network of a weights name (`superpoint-v6`, `superpoint-v1`) or file, in eval mode.

    Raises WeightsError, one line that names the file, when it holds anything else.
    """
    path = find_weights(source, catalogue=SUPERPOINT)
    tensors = {plain_name(name): tensor for name, tensor in read_state(path).items()}
    network = SuperPointNetwork(has_normalisation(tensors))
    load_state(network, tensors, path, "SuperPoint")
    return network.eval()


def has_normalisation(tensors: Tensors) -> bool:
    """Are these the retrained weights?"""
    return any(".bn." in name for name in tensors)


def plain_name(published: str) -> str:
    """Our name of a published key: `conv1a.weight` becomes `backbone.0.0.conv.weight`.

    The retrained weights have our names already.
    """
    layer = re.fullmatch(r"conv(\w)([ab])\.(weight|bias)", published)
    if layer is None:
        return published
    part, place, kind = layer.groups()
    where = {"P": "detector", "D": "descriptor"}.get(part) or f"backbone.{int(part) - 1}"
    return f"{where}.{'ab'.index(place)}.conv.{kind}"
