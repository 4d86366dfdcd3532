"""Both augmentations of SiLK's training by a coin, then uneven light and a lossy file."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from silk_sfm.training.photometric.batches import change_some, uniform
from silk_sfm.training.photometric.jpeg import lose_jpeg
from silk_sfm.training.photometric.rgb import Rgb, RgbDraws, RgbOptions
from silk_sfm.training.photometric.shading import shade
from silk_sfm.training.photometric.superpoint import (
    SuperPointLike,
    SuperPointLikeDraws,
    SuperPointLikeOptions,
)


@dataclass(frozen=True)
class MixedOptions:
    """How often each change is made (0..1), and how strong it is."""

    rgb: float = 0.5
    """Share of the images that are changed as in `Rgb`; the others as in `SuperPointLike`."""
    shading: float = 0.5
    """Share of the images with uneven light."""
    shading_range: float = 0.7
    """Largest logarithm of the gain at a place of the grid: 0.7 halves or doubles."""
    shading_grid: int = 3
    """Places a side between which the light changes smoothly."""
    jpeg: float = 0.3
    """Share of the images that pass through JPEG."""
    jpeg_qualities: tuple[float, float] = (20.0, 90.0)
    """Lowest and highest, of 1..100."""
    rgb_options: RgbOptions = field(default_factory=lambda: RgbOptions(motion_in_place=True))
    """Unlike the published ones, they leave things where they are."""
    superpoint_options: SuperPointLikeOptions = field(default_factory=SuperPointLikeOptions)


@dataclass(frozen=True, eq=False)
class MixedDraws:
    """What happens to each of N images.

    is_rgb, shaded, is_jpeg: (N,) bool
    lights: (N, K, K) float32 logarithms of gains; qualities: (N,) float32
    """

    is_rgb: Tensor
    rgb: RgbDraws
    superpoint: SuperPointLikeDraws
    shaded: Tensor
    lights: Tensor
    is_jpeg: Tensor
    qualities: Tensor


@dataclass(frozen=True)
class Mixed:
    """`Rgb` or `SuperPointLike`, shading, JPEG; the values stay in 0..1."""

    options: MixedOptions = MixedOptions()

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 3, H, W) float32 RGB in 0..1 -> the same."""
        return self.apply(images, self.draw(images, generator))

    def draw(self, images: Tensor, generator: torch.Generator) -> MixedDraws:
        """Random values for a batch of this shape."""
        n, options = len(images), self.options
        places = options.shading_grid**2
        reach = options.shading_range
        lights = uniform(n * places, -reach, reach, generator)
        return MixedDraws(
            is_rgb=uniform(n, 0, 1, generator) < options.rgb,
            rgb=Rgb(options.rgb_options).draw(images, generator),
            superpoint=SuperPointLike(options.superpoint_options).draw(images, generator),
            shaded=uniform(n, 0, 1, generator) < options.shading,
            lights=lights.reshape(n, options.shading_grid, options.shading_grid),
            is_jpeg=uniform(n, 0, 1, generator) < options.jpeg,
            qualities=uniform(n, *options.jpeg_qualities, generator),
        )

    def apply(self, images: Tensor, draws: MixedDraws) -> Tensor:
        """The images changed as drawn."""
        rgb = Rgb(self.options.rgb_options)
        superpoint = SuperPointLike(self.options.superpoint_options)
        images = change_some(images, draws.is_rgb, rgb.apply, draws.rgb)
        images = change_some(images, ~draws.is_rgb, superpoint.apply, draws.superpoint).clamp(0, 1)
        images = change_some(images, draws.shaded, shade, draws.lights).clamp(0, 1)
        return change_some(images, draws.is_jpeg, lose_jpeg, draws.qualities)
