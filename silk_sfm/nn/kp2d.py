"""KeypointNet of KP2D (Tang et al., ICLR 2020, arXiv 1912.10615).

The paper: "Neural Outlier Rejection for Self-Supervised Keypoint Learning". Every cell of 8 x 8
pixels gives one keypoint: a score, a place anywhere in the cell or beyond, and a descriptor. In
inference the published versions v2, v3 and v4 are the same network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.catalogues import KP2D
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.state import load_state, read_state
from silk_sfm.nn.windowed import Footprint

CELL = 8
"""Pixels a side of the cells that keypoints belong to."""

DESCRIPTOR_SIZE = 256
INPUT_SCALE = 0.225
"""The published networks see (x - 0.5) * 0.225: a product, where a quotient may have been meant."""

DROPOUT = 0.2


@dataclass(frozen=True)
class Variant:
    """What differs between the published versions.

    upsampled: descriptors lie on a map of 1/4 instead of 1/8 resolution (paper, section 3.1)
    cross_border: a keypoint may lie beyond its cell, up to the next centres
    """

    upsampled: bool
    cross_border: bool

    @property
    def descriptor_cell(self) -> int:
        """Pixels per cell of the descriptor map."""
        return CELL // 2 if self.upsampled else CELL

    @property
    def footprint(self) -> Footprint:
        """Of score, shift and descriptor; four stages of two convolutions, then the heads'.

        An upsampled descriptor also sees the other half of the cell that it is made from.
        """
        heads = 8 + 8 + 4 + 4 + 4 if self.upsampled else 8 + 8 + 8
        return Footprint((CELL, CELL, self.descriptor_cell), reach=2 + 4 + 8 + 16 + heads)


VARIANTS: Mapping[str, Variant] = {
    "v0": Variant(upsampled=False, cross_border=False),
    "v1": Variant(upsampled=False, cross_border=True),
    **dict.fromkeys(("v2", "v3", "v4"), Variant(upsampled=True, cross_border=True)),
}
"""By the names of the paper's ablation; v2, v3 and v4 differ in their training alone."""


class KeypointNet(nn.Module):
    """Colour images (N, 3, H, W), H and W multiples of 8, scaled by `scale_input`."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        channels = (3, 32, 64, 128, 256)
        for stage in range(1, 5):
            before, after = channels[stage - 1 : stage + 1]
            self.add_module(f"conv{stage}a", _block(before, after))
            self.add_module(f"conv{stage}b", _block(after, after))
        self.convDa, self.convDb = _block(256, 256), nn.Conv2d(256, 1, 3, padding=1)
        self.convPa, self.convPb = _block(256, 256), nn.Conv2d(256, 2, 3, padding=1)
        self.convFa, self.convFb = _block(256, 256), _block(256, 512, activated=False)
        self.convFaa = _block(256, 256)
        self.convFbb = nn.Conv2d(256, DESCRIPTOR_SIZE, 3, padding=1)
        self.dropout = nn.Dropout2d(DROPOUT)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 1, h, w) scores in 0..1, (N, 2, h, w) shifts, (N, 256, ...) raw.

        Cells of 8 pixels: h = H / 8. Shifts in -1..1, x before y. Raw descriptors are on a map of
        h, w or 2 h, 2 w cells (`variant.upsampled`).
        """
        features, skip = self._backbone(image)
        scores = torch.sigmoid(self.convDb(self.dropout(self.convDa(features))))
        shifts = torch.tanh(self.convPb(self.dropout(self.convPa(features))))
        return scores, shifts, self._describe(features, skip)

    def _backbone(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 256, h, w) features, and (N, 128, 2 h, 2 w) those before the last pooling."""
        maps = image
        for stage in range(1, 4):
            skip = self._stage(stage, maps)
            maps = self.dropout(functional.max_pool2d(skip, 2))
        return self.dropout(self._stage(4, maps)), skip

    def _stage(self, stage: int, maps: Tensor) -> Tensor:
        output: Tensor = self.get_submodule(f"conv{stage}b")(
            self.dropout(self.get_submodule(f"conv{stage}a")(maps))
        )
        return output

    def _describe(self, features: Tensor, skip: Tensor) -> Tensor:
        maps = self.dropout(self.convFa(features))
        if self.variant.upsampled:
            upsampled = functional.pixel_shuffle(self.dropout(self.convFb(maps)), 2)
            maps = torch.cat([upsampled, skip], dim=1)  # (N, 128 + 128, 2 h, 2 w)
        raw: Tensor = self.convFbb(self.dropout(self.convFaa(maps)))
        return raw


def _block(before: int, after: int, activated: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(before, after, 3, padding=1, bias=False)]
    layers.append(nn.BatchNorm2d(after))
    if activated:
        layers.append(nn.LeakyReLU(inplace=True))
    return nn.Sequential(*layers)


def scale_input(rgb: Tensor) -> Tensor:
    """Colours in 0..1 as the network takes them."""
    return (rgb - 0.5) * INPUT_SCALE


def keypoint_places(shifts: Tensor, cross_border: bool) -> Tensor:
    """(2, h, w) shifts -> (2, h, w) pixels, x before y, not beyond the image of 8 w x 8 h pixels.

    A shift of 1 leads to the edge of the cell, or to the next centre with `cross_border`.
    """
    _, height, width = shifts.shape
    middle = (CELL - 1) / 2
    x = torch.arange(width, device=shifts.device) * CELL + middle
    y = torch.arange(height, device=shifts.device) * CELL + middle
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"))  # (2, h, w)
    places = centres + (2 if cross_border else 1) * middle * shifts
    x, y = places[0].clamp(0, width * CELL - 1), places[1].clamp(0, height * CELL - 1)
    return torch.stack([x, y])


def without_outer_cells(scores: Tensor) -> Tensor:
    """(h, w) scores with 0 in the outermost cells: the only cells that never give a keypoint."""
    kept = torch.zeros_like(scores)
    kept[1:-1, 1:-1] = scores[1:-1, 1:-1]
    return kept


def load_kp2d(source: str | Path, version: str) -> KeypointNet:
    """The network of a weights name (`kp2d-v4`, ... `kp2d-v0`) or file, in eval mode.

    The file does not say of which version it is: all have the same tensors. Raises WeightsError,
    one line that names the file, when it holds anything else.
    """
    path = find_weights(source, catalogue=KP2D)
    network = KeypointNet(VARIANTS[version])
    state = {name.removeprefix("module."): value for name, value in read_state(path).items()}
    load_state(network, state, path, "KP2D's KeypointNet")
    return network.eval()
