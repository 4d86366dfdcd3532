"""Keypoints of two views: where they lie in the other view, and what maps say there."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

NOWHERE = -1e4
"""x and y of what lies behind the camera, pixels."""


def move(a_to_b: Tensor, xy: Tensor) -> Tensor:
    """(N, 3, 3) float64 and (N, M, 2) pixels of a -> (N, M, 2) pixels of b, as exact as float64.

    What lies behind b's camera comes to lie `NOWHERE`.
    """
    moved = functional.pad(xy.double(), (0, 1), value=1) @ a_to_b.transpose(1, 2)
    depth = moved[..., 2:]
    in_front = depth > 0
    places = moved[..., :2] / torch.where(in_front, depth, 1)
    return torch.where(in_front, places, NOWHERE).to(xy)


def is_inside(xy: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., 2) pixels -> (...) bool: strictly between the centres of the outermost pixels?"""
    last = xy.new_tensor(size) - 1
    return ((xy > 0) & (xy < last)).all(dim=-1)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, D), (N, Q, D) -> (N, P, Q) distances, without the rounding of a matrix product."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def map_positions(
    xy: Tensor, size: tuple[int, int], maps: Tensor, how: Literal["original", "half-pixel"]
) -> Tensor:
    """(..., 2) pixels of views of (width, height) -> positions on (N, C, h, w) maps of them.

    original: the centres of the outermost pixels lie on the centres of the outermost cells
    half-pixel: the corners of both do
    """
    pixels, cells = xy.new_tensor(size), xy.new_tensor([maps.shape[3], maps.shape[2]])
    if how == "original":
        return xy / (pixels - 1) * (cells - 1)
    return (xy + 0.5) * (cells / pixels) - 0.5


def read_maps(maps: Tensor, positions: Tensor) -> Tensor:
    """(N, C, h, w) maps at (N, M, 2) positions -> (N, M, C), bilinear; beyond, zeros."""
    last = positions.new_tensor([maps.shape[3] - 1, maps.shape[2] - 1])
    grid = 2 * positions / last.clamp(min=1) - 1
    read = functional.grid_sample(maps, grid[:, None], align_corners=True)  # (N, C, 1, M)
    return read[:, :, 0].transpose(1, 2)
