"""IO-Net of KP2D: decides which matches are inliers (arXiv 1912.10615, section 3.3).

A small PointNet-like network on a set of matches; KeypointNet is trained through it.
"""

from __future__ import annotations

import re

from torch import Tensor, nn
from torch.nn import functional

WIDTH = 128
MATCH_SIZE = 5
"""x and y in both images, normalised to -1..1, and the distance of the descriptors."""

NORM_MOMENTUM = 0.9


class InlierNet(nn.Module):
    """(N, 5, M, 1) matches of N pairs of images -> (N, 1, M, 1): above 0 is an inlier."""

    def __init__(self, n_blocks: int = 4) -> None:
        super().__init__()
        self.entry = nn.Conv2d(MATCH_SIZE, WIDTH, 1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH, momentum=NORM_MOMENTUM)
        self.blocks = nn.Sequential(*(ResidualBlock() for _ in range(n_blocks)))
        self.exit = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, matches: Tensor) -> Tensor:
        """The order of the matches does not matter, but each sees all of its pair."""
        features = functional.relu(self.norm(self.entry(matches)))
        verdict: Tensor = self.exit(self.blocks(features))
        return verdict


class ResidualBlock(nn.Module):
    """Two times: a layer for each match, then context normalisation over all matches."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        """(N, 128, M, 1) -> (N, 128, M, 1)."""
        changed = features
        for layer, norm in zip(self.layers, self.norms, strict=True):
            changed = functional.relu(norm(functional.instance_norm(layer(changed))))
        return changed + features


def plain_name(published: str) -> str:
    """Our name of a published key: `2s3.bias` becomes `blocks.2.norms.1.bias`."""
    name = re.sub(r"^p_in\.0\.", "entry.", published)
    name = re.sub(r"^p_in\.1\.", "norm.", name)
    name = re.sub(r"^p_out\.", "exit.", name)
    found = re.match(r"(\d+)s([0-3])\.", name)
    if found is None:
        return name
    block, place = found[1], int(found[2])
    part = "norms" if place % 2 else "layers"
    return f"blocks.{block}.{part}.{place // 2}.{name[found.end() :]}"
