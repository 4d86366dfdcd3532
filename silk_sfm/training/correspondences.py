"""Which cell of one view lies on which cell of the other.

Cells are those of the maps that the network returns, counted row by row; positions on such a grid
are (x, y) in cells, (0, 0) is the centre of the first cell.
"""

from __future__ import annotations

import torch
from torch import Tensor

Shape = tuple[int, int]
"""(height, width) of a grid in cells."""

NONE = -1
"""Instead of an index: no correspondence."""


def warp_cells(homographies: Tensor, shape: Shape) -> Tensor:
    """(N, 3, 3) -> (N, h * w, 2) float64: where the cells of a grid come to lie on another one.

    homographies: act on (x, y, 1) in cells, scaled so that what lies in front of the camera has a
        positive third coordinate; for all other points the result is NaN
    """
    matrices = homographies.to(torch.float64)
    moved = cell_centres(shape, matrices.device) @ matrices.transpose(1, 2)  # (N, h * w, 3)
    depth = moved[..., 2:]
    return moved[..., :2] / torch.where(depth > 0, depth, torch.nan)


def cell_centres(shape: Shape, device: torch.device) -> Tensor:
    """(h * w, 3) float64 rows (x, y, 1) of a grid, row by row."""
    height, width = shape
    rows = torch.arange(height, dtype=torch.float64, device=device)
    columns = torch.arange(width, dtype=torch.float64, device=device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).flatten(0, 1)


def mutual_correspondences(
    to_b: Tensor, to_a: Tensor, shape_a: Shape, shape_b: Shape
) -> tuple[Tensor, Tensor]:
    """Pairs of cells that are each other's nearest: (N, P) and (N, Q) int64 indices, NONE without.

    to_b: (N, P, 2) where the P = h * w cells of a lie on the grid of b; to_a: (N, Q, 2) those of b
        on the grid of a. Points outside of the other grid and those that are not finite have none.
    Raises ValueError when the number of points is not that of the cells.
    """
    _check(to_b, shape_a, "to_b")
    _check(to_a, shape_b, "to_a")
    forward, backward = nearest_cells(to_b, shape_b), nearest_cells(to_a, shape_a)
    return _kept(forward, backward), _kept(backward, forward)


def nearest_cells(positions: Tensor, shape: Shape) -> Tensor:
    """(..., 2) positions on a grid -> (...) int64 index of the cell they are in, NONE outside."""
    height, width = shape
    x, y = torch.floor(positions + 0.5).unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = (torch.where(inside, each, 0).long() for each in (x, y))
    return torch.where(inside, row * width + column, NONE)


def _kept(forward: Tensor, backward: Tensor) -> Tensor:
    """(N, P) `forward` where (N, Q) `backward` leads back, NONE elsewhere."""
    own = torch.arange(forward.shape[1], device=forward.device)
    returned = backward.gather(1, forward.clamp(min=0))
    return torch.where((forward != NONE) & (returned == own), forward, NONE)


def _check(positions: Tensor, shape: Shape, name: str) -> None:
    n_cells = shape[0] * shape[1]
    if positions.ndim != 3 or positions.shape[1:] != (n_cells, 2):
        raise ValueError(
            f"{name} must be (N, {n_cells}, 2) for a grid of {shape[0]} x {shape[1]} cells, "
            f"got {tuple(positions.shape)}."
        )
