"""Augmentation in SuperPoint's manner, as SiLK was trained with it for homographies.

Ranges of arXiv 2304.06194; nothing keeps the values in 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.training.photometric.batches import change_some, for_images, uniform
from silk_sfm.training.photometric.filters import filter_each, motion_kernels


@dataclass(frozen=True)
class SuperPointLikeOptions:
    """How strong each change is at most; images are in 0..1."""

    brightness: float = 0.5
    """Added or subtracted at most."""
    contrast: float = 0.5
    """The factor of the contrast lies in 1 - contrast .. 1 + contrast."""
    noise: float = 0.04
    """Largest standard deviation of the noise."""
    speckle: float = 0.0035
    """Largest share of values that become 0, and of those that become 1."""
    motion: float = 0.5
    """Share of the images with motion blur."""
    motion_size: int = 3
    """Side of the kernel of the motion blur in pixels, odd."""

    def __post_init__(self) -> None:
        if self.motion_size < 3 or self.motion_size % 2 == 0:
            raise ConfigError(f"motion_size must be odd, 3 or more, got {self.motion_size}.")


@dataclass(frozen=True, eq=False)
class SuperPointLikeDraws:
    """What happens to each of N images.

    brightnesses, contrasts, deviations, speckles: (N,) float32
    noise: (N, 3, H, W) float32 of deviation 1; chances: (N, 3, H, W) float32 in 0..1
    blurred: (N,) bool; angles: (N,) float32 radians
    """

    brightnesses: Tensor
    contrasts: Tensor
    deviations: Tensor
    noise: Tensor
    speckles: Tensor
    chances: Tensor
    blurred: Tensor
    angles: Tensor


@dataclass(frozen=True)
class SuperPointLike:
    """Brightness, contrast, noise and speckle for all images, motion blur for some."""

    options: SuperPointLikeOptions = SuperPointLikeOptions()

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 3, H, W) float32 RGB in 0..1 -> the same shape, beyond 0..1."""
        return self.apply(images, self.draw(images, generator))

    def draw(self, images: Tensor, generator: torch.Generator) -> SuperPointLikeDraws:
        """Random values for a batch of this shape."""
        n, options, device = len(images), self.options, generator.device
        return SuperPointLikeDraws(
            brightnesses=uniform(n, -options.brightness, options.brightness, generator),
            contrasts=1 + uniform(n, -options.contrast, options.contrast, generator),
            deviations=uniform(n, 0, options.noise, generator),
            noise=torch.randn(images.shape, generator=generator, device=device),
            speckles=uniform(n, 0, options.speckle, generator),
            chances=torch.rand(images.shape, generator=generator, device=device),
            blurred=uniform(n, 0, 1, generator) < options.motion,
            angles=uniform(n, 0, 2 * math.pi, generator),
        )

    def apply(self, images: Tensor, draws: SuperPointLikeDraws) -> Tensor:
        """The images changed as drawn."""
        images = images + for_images(draws.brightnesses)
        images = change_contrast_about_mean(images, draws.contrasts)
        images = images + for_images(draws.deviations) * draws.noise
        images = speckle(images, draws.speckles, draws.chances)
        return change_some(images, draws.blurred, self._shake, draws.angles)

    def _shake(self, images: Tensor, angles: Tensor) -> Tensor:
        kernels = motion_kernels(self.options.motion_size, angles, torch.zeros_like(angles))
        return filter_each(images, kernels, "zero")


def change_contrast_about_mean(images: Tensor, factors: Tensor) -> Tensor:
    """Value v becomes m + factor (v - m), m the mean of its channel in its image; factors: (N,)."""
    means = images.mean(dim=(2, 3), keepdim=True)
    return means + for_images(factors) * (images - means)


def speckle(images: Tensor, shares: Tensor, chances: Tensor) -> Tensor:
    """A share (N,) of the values becomes 0 and as many become 1, each channel on its own.

    chances: (N, 3, H, W) uniform in 0..1; the lowest are for 0, the highest for 1.
    """
    black, white = chances < for_images(shares), chances > 1 - for_images(shares)
    return images.masked_fill(black, 0.0).masked_fill(white, 1.0)
