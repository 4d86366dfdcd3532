"""The contrastive loss of MSNet, with the hardest wrong places (lin-zju/my-descriptor-space)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.nn.msnet import Sampling, to_cells
from silk_sfm.training.places import distances, read_maps


@dataclass(frozen=True)
class MsNetLossOptions:
    """What is compared; the defaults are the published ones, unless said."""

    margin: float = 0.5
    """Distance that descriptors of different places should have, at least."""
    points: int = 3000
    """Random places of a view, those that the other view shows are learned from."""
    apart: float = 4.0
    """Cells of 4 pixels: what is nearer to the true place is not wrong."""
    interval: int = 4
    """Only every so many cells of a row and of a column are searched for the hardest wrong place,
    others each time."""
    sampling: Sampling = "exact"
    """Where descriptors are read. original: half a cell off, as in the published code. Extract with
    the same choice."""

    def __post_init__(self) -> None:
        if self.margin <= 0 or self.apart < 0:
            raise ConfigError(
                f"margin must be above 0 and apart at least 0, got {self.margin} and {self.apart}."
            )
        if self.points < 1 or self.interval < 1:
            raise ConfigError(
                f"points and interval must be at least 1, got {self.points} and {self.interval}."
            )


@dataclass(frozen=True, eq=False)
class MsNetLoss:
    """Losses of a batch, () each.

    right: mean distance of descriptors of the same place
    wrong: mean of what lacks to the margin, over the wrong places that are too near
    """

    right: Tensor
    wrong: Tensor


def contrastive_loss(
    maps_a: Tensor,
    maps_b: Tensor,
    xy_a: Tensor,
    xy_b: Tensor,
    taught: Tensor,
    first_cell: tuple[int, int],
    image_shape: tuple[int, int],
    options: MsNetLossOptions,
) -> MsNetLoss:
    """Of N pairs of images of shape (H, W).

    maps: (N, D, h, w) descriptors; xy: (N, M, 2) the same M places in both, pixels
    taught: (N, M) bool, which places count
    first_cell: column and row of the first cell that is searched, below `interval`
    """
    there_a = read_descriptors(maps_a, xy_a, image_shape, options.sampling)
    there_b = read_descriptors(maps_b, xy_b, image_shape, options.sampling)
    wrong_xy, found = hardest_places(there_a, maps_b, xy_b, first_cell, image_shape, options)
    wrong = read_descriptors(maps_b, wrong_xy, image_shape, options.sampling)
    lacking = options.margin - _distance(there_a, wrong)
    counted = lacking[taught & found]
    counted = counted[counted > 0]
    right = _distance(there_a, there_b)[taught]
    return MsNetLoss(
        right=right.sum() / max(len(right), 1), wrong=counted.sum() / max(len(counted), 1)
    )


@torch.no_grad()
def hardest_places(
    descriptors: Tensor,
    maps: Tensor,
    xy: Tensor,
    first_cell: tuple[int, int],
    image_shape: tuple[int, int],
    options: MsNetLossOptions,
) -> tuple[Tensor, Tensor]:
    """(N, M, 2) pixels of the cells whose descriptors are most alike, but not near `xy`.

    And (N, M) bool: is there any?
    """
    size = torch.tensor([maps.shape[3], maps.shape[2]], device=maps.device)
    pixels = torch.tensor([image_shape[1], image_shape[0]], device=maps.device)
    column, row = first_cell
    step = options.interval
    searched = maps[:, :, row::step, column::step]
    y, x = torch.meshgrid(
        torch.arange(row, maps.shape[2], step, device=maps.device),
        torch.arange(column, maps.shape[3], step, device=maps.device),
        indexing="ij",
    )
    cells = torch.stack([x, y], dim=2).flatten(0, 1).to(xy)  # (K, 2)
    ratio = size / pixels
    near = distances((xy * ratio), cells.expand(len(xy), -1, -1)) < options.apart
    apart = distances(descriptors, searched.flatten(2).transpose(1, 2))
    best, index = apart.masked_fill(near, torch.inf).min(dim=2)
    return cells[index] / ratio, torch.isfinite(best)


def read_descriptors(
    maps: Tensor, xy: Tensor, image_shape: tuple[int, int], sampling: Sampling
) -> Tensor:
    """(N, M, D) of length 1 at (N, M, 2) pixels of images of shape (H, W)."""
    cells = to_cells(xy, maps[0], image_shape, sampling)
    return functional.normalize(read_maps(maps, cells), dim=2)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """(N, M, D) twice -> (N, M)."""
    apart: Tensor = (a - b).norm(dim=2)
    return apart
