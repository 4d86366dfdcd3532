"""What one scene goes through on the way to two files: light, lens, sensor and compression.

Milder than the published augmentations, which cut off large parts of many images: here nearly all
that a view shows stays visible, nothing moves, and values stay in 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.options import check_at_least
from silk_sfm.training.photometric.batches import change_some, for_images, uniform
from silk_sfm.training.photometric.filters import filter_each, gaussian_kernels, motion_kernels
from silk_sfm.training.photometric.jpeg import lose_jpeg
from silk_sfm.training.photometric.shading import shade

Range = tuple[float, float]
LARGEST_BLUR = 9
"""Side of the blur kernels, pixels."""


@dataclass(frozen=True)
class CameraOptions:
    """What the changes of light `camera` are: how often (0..1), and how strong."""

    gamma: float = 0.5
    """Largest logarithm of the exponent."""
    shading: float = 0.4
    """Largest logarithm of the gain at a place of the grid of lights."""
    shading_grid: int = 3
    """Places a side between which the light changes smoothly."""
    contrasts: Range = (0.6, 1.3)
    """Factors about the mean of an image."""
    brightness: float = 0.1
    """Largest amount that is added."""
    blur: float = 0.3
    """Share of the images out of focus."""
    blur_sigmas: Range = (0.3, 1.5)
    """Standard deviations of the blur, pixels."""
    motion: float = 0.1
    """Share of the images blurred along a line through their middle."""
    noise: float = 0.02
    """Largest standard deviation."""
    jpeg: float = 0.3
    """Share of the images that pass through JPEG."""
    jpeg_qualities: Range = (40.0, 95.0)
    """Of libjpeg, 1 to 100."""

    def __post_init__(self) -> None:
        for name in ("blur", "motion", "jpeg"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share, 0 to 1, got {getattr(self, name)}.")
        if self.blur + self.motion > 1:
            raise ConfigError("blur and motion are shares of the same images: at most 1 together.")
        for name in ("gamma", "shading", "brightness", "noise"):
            check_at_least(name, getattr(self, name), 0)
        check_at_least("shading-grid", self.shading_grid, 2)
        for name, least, most in (
            ("contrasts", 0.0, math.inf),
            ("blur_sigmas", 0.1, LARGEST_BLUR / 3),
            ("jpeg_qualities", 1.0, 100.0),
        ):
            low, high = getattr(self, name)
            if not (least <= low <= high <= most):
                raise ConfigError(
                    f"{name.replace('_', '-')} must be two numbers from {least:g} to {most:g}, the "
                    f"smaller one first, got {low:g} and {high:g}."
                )


@dataclass(frozen=True)
class Camera:
    """Gamma, shading, contrast, blur, noise and JPEG."""

    options: CameraOptions = CameraOptions()

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 3, H, W) float32 RGB in 0..1 -> the same."""
        n, options = len(images), self.options
        images = images ** for_images(uniform(n, -options.gamma, options.gamma, generator).exp())
        images = shade(images, self._lights(n, generator))
        means = images.mean(dim=(1, 2, 3), keepdim=True)
        factors = for_images(uniform(n, *options.contrasts, generator))
        added = for_images(uniform(n, -options.brightness, options.brightness, generator))
        images = (images - means) * factors + means + added
        images = self._blurred(images, generator)
        images = images + self._noise(images, generator)
        qualities = uniform(n, *options.jpeg_qualities, generator)
        is_jpeg = uniform(n, 0, 1, generator) < options.jpeg
        return change_some(images.clamp(0, 1), is_jpeg, lose_jpeg, qualities).clamp(0, 1)

    def _lights(self, n: int, generator: torch.Generator) -> Tensor:
        side, largest = self.options.shading_grid, self.options.shading
        return uniform(n * side**2, -largest, largest, generator).reshape(n, side, side)

    def _blurred(self, images: Tensor, generator: torch.Generator) -> Tensor:
        n, options = len(images), self.options
        sigmas = uniform(n, *options.blur_sigmas, generator)
        angles = uniform(n, 0, torch.pi, generator)
        kinds = uniform(n, 0, 1, generator)
        round_ones = gaussian_kernels(sigmas, LARGEST_BLUR)
        lines = motion_kernels(LARGEST_BLUR, angles, torch.zeros_like(angles))
        in_motion = kinds > 1 - options.motion
        kernels = torch.where(in_motion[:, None, None], lines, round_ones)
        return change_some(images, in_motion | (kinds < options.blur), _filtered, kernels)

    def _noise(self, images: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(images.shape, generator=generator, device=generator.device)
        return noise * for_images(uniform(len(images), 0, self.options.noise, generator))


def _filtered(images: Tensor, kernels: Tensor) -> Tensor:
    return filter_each(images, kernels, "mirror")
