"""Descriptors between the cells of a map.

Methods differ in where a pixel lies on their coarse map, and some differ by mistake. Here each such
convention is a function from pixels to cells, (0, 0) = centre of the first cell, and the reading is
the same for all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample_unit(maps: Tensor, xy_cells: Tensor) -> Tensor:
    """Descriptors of length 1 at (N, 2) float positions (x, y) on (D, h, w) maps: (N, D).

    Bilinear; a position beyond the map reads its nearest border. (Codes that read zeros there give
    the same after the normalisation, up to one cell outside, and no direction farther away.)
    """
    last = torch.tensor([maps.shape[2] - 1, maps.shape[1] - 1], device=maps.device)
    places = xy_cells.clamp(min=torch.zeros_like(last), max=last)
    grid = 2 * places / last.clamp(min=1) - 1
    sampled = functional.grid_sample(maps[None], grid[None, None], align_corners=True)
    return functional.normalize(sampled[0, :, 0].T, dim=1)  # (N, D)


def half_pixel(xy: Tensor, cell: int) -> Tensor:
    """Pixels to cells of `cell` x `cell` pixels each, the first one in the image's corner."""
    return (xy + 0.5) / cell - 0.5
