"""Augmentation of RGB images as SiLK was trained with it for pose estimation.

The pieces, their order and their ranges are those of arXiv 2304.06194 with albumentations 1.3.0;
images are 8-bit ones from beginning to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.training.photometric.batches import change_some, odd_sizes, uniform
from silk_sfm.training.photometric.filters import box_kernels, filter_each, line_kernels
from silk_sfm.training.photometric.levels import (
    add_noise,
    change_contrast,
    change_gamma,
    from_levels,
    shift_hsv,
    to_levels,
)

Range = tuple[float, float]


@dataclass(frozen=True)
class RgbOptions:
    """How often each change is made (0..1), and how strong it is."""

    any_change: float = 0.95
    """Images that are changed at all; the others are only rounded to 8 bits."""
    gamma: float = 0.1
    gammas: Range = (0.15, 0.65)
    """Exponents; below 1 brightens."""
    hsv: float = 0.1
    hue_shifts: Range = (-20.0, 20.0)
    """Steps of 2 degrees."""
    saturation_shifts: Range = (-30.0, 30.0)
    """Levels of 255."""
    value_shifts: Range = (-100.0, -40.0)
    """Levels of 255."""
    blur: float = 0.1
    blur_sizes: tuple[int, int] = (3, 9)
    """Smallest and largest side of the box in pixels, odd."""
    motion: float = 0.2
    motion_sizes: tuple[int, int] = (3, 25)
    """Smallest and largest square in pixels, odd, in which the path of the camera lies."""
    motion_in_place: bool = False
    """Move the path to the middle of the square, so that things stay where they are; published is
    a path anywhere in the square, which shifts the image by up to half of it."""
    contrast: float = 0.5
    contrasts: Range = (-0.5, 0.3)
    """Added to the factor 1 of the levels."""
    brightnesses: Range = (-0.3, 0.0)
    """Added, as a share of white."""
    noise: float = 0.5
    noise_variances: Range = (10.0, 50.0)
    """Levels of 255, squared."""

    def __post_init__(self) -> None:
        for name in ("blur_sizes", "motion_sizes"):
            smallest, largest = getattr(self, name)
            if not (0 < smallest <= largest and smallest % 2 == largest % 2 == 1):
                raise ConfigError(
                    f"{name} must be two odd numbers, smallest first, got {smallest}, {largest}."
                )


@dataclass(frozen=True, eq=False)
class RgbDraws:
    """What happens to each of N images.

    used: (N, 6) bool: gamma, hsv, blur, motion, contrast, noise
    gammas, contrasts, brightnesses: (N,) float32
    shifts: (N, 3) float32, of hue, saturation and value
    box_sizes, path_sizes: (N,) int64 pixels, odd
    paths: (N, 4) int64, x and y of both ends of the path, 0..path_size-1
    deviations: (N,) float32 levels; noise: (N, 3, H, W) float32 of deviation 1
    """

    used: Tensor
    gammas: Tensor
    shifts: Tensor
    box_sizes: Tensor
    path_sizes: Tensor
    paths: Tensor
    contrasts: Tensor
    brightnesses: Tensor
    deviations: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Rgb:
    """Gamma, colour, blur, shake, contrast and noise, each for some of the images."""

    options: RgbOptions = RgbOptions()

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 3, H, W) float32 RGB in 0..1 -> the same, multiples of 1/255."""
        return self.apply(images, self.draw(images, generator))

    def draw(self, images: Tensor, generator: torch.Generator) -> RgbDraws:
        """Random values for a batch of this shape."""
        n, options = len(images), self.options
        sizes = odd_sizes(n, *options.motion_sizes, generator)
        shifts = (options.hue_shifts, options.saturation_shifts, options.value_shifts)
        return RgbDraws(
            used=_draw_used(n, options, generator),
            gammas=uniform(n, *options.gammas, generator),
            shifts=torch.stack([uniform(n, *limits, generator) for limits in shifts], dim=1),
            box_sizes=odd_sizes(n, *options.blur_sizes, generator),
            path_sizes=sizes,
            paths=self._draw_paths(sizes, generator),
            contrasts=1 + uniform(n, *options.contrasts, generator),
            brightnesses=uniform(n, *options.brightnesses, generator),
            deviations=uniform(n, *options.noise_variances, generator).sqrt(),
            noise=torch.randn(images.shape, generator=generator, device=generator.device),
        )

    def _draw_paths(self, sizes: Tensor, generator: torch.Generator) -> Tensor:
        paths = draw_paths(sizes, generator)
        return centred(paths, sizes) if self.options.motion_in_place else paths

    def apply(self, images: Tensor, draws: RgbDraws) -> Tensor:
        """The images changed as drawn."""
        levels = to_levels(images)
        steps: tuple[tuple[Callable[..., Tensor], tuple[Tensor, ...]], ...] = (
            (change_gamma, (draws.gammas,)),
            (shift_hsv, (draws.shifts,)),
            (self._blur, (draws.box_sizes,)),
            (self._shake, (draws.path_sizes, draws.paths)),
            (change_contrast, (draws.contrasts, draws.brightnesses)),
            (add_noise, (draws.deviations, draws.noise)),
        )
        for used, (change, drawn) in zip(draws.used.unbind(1), steps, strict=True):
            levels = change_some(levels, used, change, *drawn)
        return from_levels(levels)

    def _blur(self, levels: Tensor, sizes: Tensor) -> Tensor:
        kernels = box_kernels(sizes, self.options.blur_sizes[1])
        return torch.round(filter_each(levels, kernels, "mirror"))

    def _shake(self, levels: Tensor, sizes: Tensor, paths: Tensor) -> Tensor:
        kernels = line_kernels(sizes, paths, self.options.motion_sizes[1])
        return torch.round(filter_each(levels, kernels, "mirror"))


def _draw_used(n: int, options: RgbOptions, generator: torch.Generator) -> Tensor:
    """(n, 6) bool, see `RgbDraws`."""
    shares = (
        options.gamma,
        options.hsv,
        options.blur,
        options.motion,
        options.contrast,
        options.noise,
    )
    used = torch.stack([uniform(n, 0, 1, generator) < share for share in shares], dim=1)
    return used & (uniform(n, 0, 1, generator) < options.any_change)[:, None]


def draw_paths(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 4) int64: x and y of two places in each size x size square, uniform but for one thing.

    Where both have the same x, their y differ: no path is a single pixel.
    """
    draws = torch.rand(len(sizes), 5, generator=generator, device=generator.device)
    x0, y0, x1, y1 = (draws[:, :4] * sizes[:, None]).long().clamp(max=sizes[:, None] - 1).unbind(1)
    other = (y0 + 1 + (draws[:, 4] * (sizes - 1)).long()) % sizes
    return torch.stack([x0, y0, x1, torch.where(x0 == x1, other, y1)], dim=1)


def centred(paths: Tensor, sizes: Tensor) -> Tensor:
    """The paths (N, 4) moved so that their middle is that of the square, to half a pixel."""
    ends = paths.reshape(-1, 2, 2)
    shift = (sizes[:, None] - 1 - ends.sum(dim=1)) // 2  # (N, 2)
    return (ends + shift[:, None]).reshape(-1, 4)
