"""Blur: kernels for each image of a batch, and filtering with them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Border = Literal["mirror", "zero"]


def box_kernels(sizes: Tensor, largest: int) -> Tensor:
    """(N, largest, largest): equal weights on the size x size in the middle; sizes: (N,) odd."""
    inside = (_around_middle(largest, sizes.device).abs() <= sizes[:, None] // 2).float()  # (N, L)
    kernels = inside[:, :, None] * inside[:, None, :]
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def gaussian_kernels(sigmas: Tensor, size: int) -> Tensor:
    """(N,) standard deviations in pixels -> (N, size, size) with the sum 1; size odd."""
    squares = _around_middle(size, sigmas.device) ** 2
    falls = torch.exp(-squares / (2 * sigmas[:, None] ** 2))  # (N, size)
    kernels = falls[:, :, None] * falls[:, None, :]
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def line_kernels(sizes: Tensor, ends: Tensor, largest: int) -> Tensor:
    """(N, largest, largest): equal weights along a line between two pixels.

    sizes: (N,) odd; ends: (N, 4) int64 x0, y0, x1, y1 in 0..size-1, pixels of the size x size in
    the middle of the kernel. The pixels of the line are those of Bresenham (1965), from the left;
    where two are equally near it takes the one nearer to the left end.
    """
    swapped = ends[:, :1] > ends[:, 2:3]
    ends = torch.where(swapped, ends.roll(2, dims=1), ends)
    first, way = ends[:, None, :2], (ends[:, 2:] - ends[:, :2])[:, None]  # (N, 1, 2)
    steps = way.abs().amax(dim=2, keepdim=True)
    taps = torch.arange(largest, device=sizes.device)[:, None]  # (L, 1)
    doubled = (2 * steps).clamp(min=1)
    moved = way.sign() * ((2 * taps * way.abs() + steps - 1) // doubled)  # rounded, (N, L, 2)
    places = first + moved + ((largest - sizes) // 2)[:, None, None]
    weights = (taps <= steps)[..., 0] / (steps[..., 0] + 1)  # (N, L)
    cells = (places[..., 1] * largest + places[..., 0]).clamp(0, largest**2 - 1)
    flat = torch.zeros(len(sizes), largest**2, device=sizes.device)
    return flat.scatter_add(1, cells, weights).reshape(-1, largest, largest)


def motion_kernels(size: int, angles: Tensor, directions: Tensor) -> Tensor:
    """(N, size, size): a row of pixels turned about the middle, bilinear, with the sum 1.

    angles: (N,) radians, from the x axis towards the y axis: clockwise as one sees it
    directions: (N,) in -1..1; 0: equal weights, 1: falling to 0 along the row, -1: rising from 0
    The turned row is read at size places from border to border of the kernel, not at the centres of
    its pixels: kernels are a bit narrower than the row.
    """
    ramp = torch.linspace(0, 1, size, device=angles.device)
    share = (1 + directions[:, None]) / 2
    row = share + (1 - 2 * share) * ramp  # (N, size)
    kernels = functional.pad(row[:, None, None], (0, 0, size // 2, size // 2))  # (N, 1, size, size)
    x, y = torch.meshgrid(2 * ramp - 1, 2 * ramp - 1, indexing="xy")  # (size, size)
    cosines, sines = torch.cos(angles)[:, None, None], torch.sin(angles)[:, None, None]
    grid = torch.stack([cosines * x + sines * y, cosines * y - sines * x], dim=-1)
    turned = functional.grid_sample(kernels, grid, align_corners=False)[:, 0]
    return turned / turned.sum(dim=(1, 2), keepdim=True)


def filter_each(images: Tensor, kernels: Tensor, border: Border) -> Tensor:
    """Correlate image n of (N, C, H, W) with kernel n of (N, K, K), K odd.

    mirror: borders are mirrored about the centre of the last pixel; zero: all beyond is black.
    """
    reach = kernels.shape[1] // 2
    if border == "mirror":
        padded = _mirrored(images, reach)
    else:
        padded = functional.pad(images, (reach, reach, reach, reach))
    filtered = functional.conv2d(padded.transpose(0, 1), kernels[:, None], groups=len(kernels))
    return filtered.transpose(0, 1)


def _mirrored(images: Tensor, reach: int) -> Tensor:
    """The images with `reach` more pixels on each side, however small they are."""
    for dimension in (2, 3):
        last = images.shape[dimension] - 1
        places = torch.arange(-reach, last + reach + 1, device=images.device)
        turned = places.remainder(max(2 * last, 1))
        images = images.index_select(dimension, torch.minimum(turned, 2 * last - turned))
    return images


def _around_middle(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, device=device) - size // 2
