"""Training pairs: two views of one photo, and where each pixel of one lies in the other.

Nothing here waits for the device: views are drawn while it still learns from the last ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from silk_sfm.training.correspondences import cell_centres
from silk_sfm.training.homographies import WarpOptions, draw_matrices
from silk_sfm.training.stack import LEVELS, PhotoStack

CANDIDATES = 4
"""Places drawn for a pair; the first that shows something is taken."""


@dataclass(frozen=True)
class Views:
    """N pairs of views.

    a, b: (N, 3, S, S) float32 RGB in 0..1
    a_to_b: (N, 3, 3) float64 homographies from pixels of a to pixels of b, (0, 0) = centre of the
        top-left one
    """

    a: Tensor
    b: Tensor
    a_to_b: Tensor


@dataclass(frozen=True)
class ViewOptions:
    """Which places of the photos are shown."""

    least_texture: float = 0.0
    """Grey levels (0..255) a pixel: places that change less are drawn less often. 0: all alike."""


def draw_views(
    stack: PhotoStack,
    shares: Tensor,
    size: int,
    n: int,
    warps: WarpOptions,
    options: ViewOptions,
    strength: float,
    generator: torch.Generator,
) -> Views:
    """Random pairs of views of `size` x `size` pixels.

    n: how many pairs
    shares: (n_photos,) how often each photo is drawn
    generator: on the device of the photos; freshly seeded if that is no CPU, since homographies are
        drawn on the CPU by its seed then
    A view that does not fit into its photo shows the photo in larger magnification.
    """
    on_cpu = generator.device.type == "cpu"
    warping = generator if on_cpu else torch.Generator().manual_seed(generator.initial_seed())
    matrices = _warps(n, warps, strength, warping).to(stack.device, non_blocking=True)
    photos, to_photo = _places(stack, shares, size, matrices, options, generator)
    a_to_photo, b_to_photo = to_photo.unbind(1)
    return Views(
        _view(stack, photos, a_to_photo, size),
        _view(stack, photos, b_to_photo, size),
        torch.linalg.inv_ex(b_to_photo)[0] @ a_to_photo,
    )


def _warps(n: int, warps: WarpOptions, strength: float, generator: torch.Generator) -> Tensor:
    """(n, 2, 3, 3) of both views, normalised, on the device of the generator."""
    turned = _rand(n, generator) < warps.any_turn
    b = draw_matrices(n, warps, strength, turned, generator)
    if warps.both:
        a = draw_matrices(n, warps, strength, torch.zeros_like(turned), generator)
    else:
        a = torch.eye(3, dtype=torch.float64, device=generator.device).repeat(n, 1, 1)
    return torch.stack([a, b], dim=1)


def _places(
    stack: PhotoStack,
    shares: Tensor,
    size: int,
    matrices: Tensor,
    options: ViewOptions,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """(N, 2, 3, 3) normalised -> (N,) photos, (N, 2, 3, 3) from view pixels to photo pixels."""
    n = len(matrices)
    photos = torch.multinomial(shares, n * CANDIDATES, replacement=True, generator=generator)
    corners = _corners(matrices.flatten(0, 1)).reshape(n, 8, 2) * (size / 2)
    low = corners.amin(dim=1).repeat_interleave(CANDIDATES, dim=0)
    high = corners.amax(dim=1).repeat_interleave(CANDIDATES, dim=0)
    room = stack.full_sizes(photos)  # (N C, 2)
    shrink = (room / (high - low)).amin(dim=1).clamp(max=1)  # below 1: the views do not fit
    low, high = low * shrink[:, None], high * shrink[:, None]
    draws = _rand(n * CANDIDATES, generator, 2)
    centres = _on_pixels(draws * (room - high + low).clamp(min=0) - low - 0.5, size)
    shown = stack.texture_at(photos, centres) >= options.least_texture
    first = shown.reshape(n, CANDIDATES).int().argmax(dim=1)
    chosen = torch.arange(n, device=stack.device) * CANDIDATES + first
    placed = _placement(centres[chosen], shrink[chosen] * (size / 2))
    return photos[chosen], placed[:, None] @ matrices @ _normalising(size, stack.device)


def _on_pixels(centres: Tensor, size: int) -> Tensor:
    """The next centres to the top left for which an unwarped view needs no interpolation."""
    half = (size - 1) / 2
    return (centres - half).floor() + half


def _placement(centres: Tensor, half_sides: Tensor) -> Tensor:
    """(N, 2) pixels, (N,) pixels -> (N, 3, 3): normalised window to photo pixels."""
    placed = torch.zeros(len(centres), 3, 3, dtype=torch.float64, device=centres.device)
    placed[:, 0, 0] = placed[:, 1, 1] = half_sides
    placed[:, :2, 2] = centres
    placed[:, 2, 2] = 1
    return placed


def _normalising(size: int, device: torch.device) -> Tensor:
    """(3, 3): view pixels to -1..1, where -1 and 1 are the outer borders of the view."""
    middle = (size - 1) / size
    rows = [[2 / size, 0, -middle], [0, 2 / size, -middle], [0, 0, 1]]
    return _constant(rows, device)


def _constant(rows: list[Any], device: torch.device) -> Tensor:
    """Numbers as float64, on their way to the device."""
    return torch.tensor(rows, dtype=torch.float64).to(device, non_blocking=True)


def _corners(matrices: Tensor) -> Tensor:
    """(M, 3, 3) -> (M, 4, 2): where they map the corners of the view, normalised."""
    signs = _constant([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], matrices.device)
    mapped = signs @ matrices.transpose(1, 2)
    return mapped[..., :2] / mapped[..., 2:]


def _view(stack: PhotoStack, photos: Tensor, to_photo: Tensor, size: int) -> Tensor:
    """(N, 3, size, size) of the photos through (N, 3, 3) matrices."""
    pixels = cell_centres((size, size), stack.device).reshape(size, size, 3)
    mapped = torch.einsum("nij,rcj->nrci", to_photo, pixels)
    return stack.views(photos, _levels(to_photo, size), mapped[..., :2] / mapped[..., 2:])


def _levels(to_photo: Tensor, size: int) -> Tensor:
    """(N,) the level whose pixels are about as large as those of the view at its centre."""
    middle = _constant([(size - 1) / 2, (size - 1) / 2, 1.0], to_photo.device)
    depth = to_photo[:, 2] @ middle
    areas = torch.linalg.det(to_photo).abs() / depth.abs() ** 3
    return torch.log2(areas.sqrt()).round().long().clamp(0, LEVELS - 1)


def _rand(n: int, generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(n, *shape, dtype=torch.float64, device=generator.device, generator=generator)
