"""Smooth shading: light that is not the same all over an image."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def shade(images: Tensor, lights: Tensor) -> Tensor:
    """Multiply by exp of `lights`, (N, K, K) logarithms of gains, spread smoothly over the image.

    The corners of the grid are the corners of the image; between them the logarithms are bicubic.
    """
    size = images.shape[2:]
    gains = functional.interpolate(
        lights[:, None], size=size, mode="bicubic", align_corners=True
    ).exp()
    return images * gains
