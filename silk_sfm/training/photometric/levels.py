"""Changes of 8-bit images, held as float32 whole numbers 0..255, as albumentations 1.3 does.

(N, 3, H, W) in and out. Where that library cuts off the fraction of a result (gamma, contrast,
shifts of HSV, noise) it is cut off here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from silk_sfm.training.photometric.batches import for_images

LARGEST = 255
HUES = 180
"""Hue is counted in steps of 2 degrees, so that it fits into 8 bits."""
ALMOST = 1e-3
"""Keeps k / 255 * 255 from ending just below k where a device divides inexactly."""


def to_levels(images: Tensor) -> Tensor:
    """0..1 -> whole numbers 0..255, the fraction cut off."""
    return _cut(images * LARGEST + ALMOST)


def from_levels(levels: Tensor) -> Tensor:
    """0..255 -> 0..1."""
    return levels / LARGEST


def change_gamma(levels: Tensor, exponents: Tensor) -> Tensor:
    """Level v becomes 255 (v / 255)^exponent; exponents: (N,), below 1 brightens."""
    return _cut(LARGEST * (levels / LARGEST) ** for_images(exponents))


def change_contrast(levels: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Level v becomes factor v + 255 offset; both (N,)."""
    return _cut(levels * for_images(factors) + LARGEST * for_images(offsets))


def add_noise(levels: Tensor, deviations: Tensor, noise: Tensor) -> Tensor:
    """Level v becomes v + deviation noise; deviations: (N,); noise: (N, 3, H, W) of deviation 1."""
    return _cut(levels + for_images(deviations) * noise)


def shift_hsv(levels: Tensor, shifts: Tensor) -> Tensor:
    """Move hue, saturation and value by shifts (N, 3): steps of 2 degrees, levels, levels.

    Hue goes round, the others stop at 0 and 255.
    """
    shifted = levels_to_hsv(levels) + shifts[:, :, None, None]
    hue = (shifted[:, :1] % HUES).floor().clamp(max=HUES - 1)
    return hsv_to_levels(torch.cat([hue, _cut(shifted[:, 1:])], dim=1))


def levels_to_hsv(levels: Tensor) -> Tensor:
    """RGB -> hue 0..179, saturation and value 0..255, each rounded (A. R. Smith, 1978)."""
    value, brightest = levels.max(dim=1)
    spread = value - levels.amin(dim=1)
    red, green, blue = levels.unbind(1)
    apart = torch.stack([green - blue, blue - red, red - green], dim=1)  # (N, 3, H, W)
    offset = apart.gather(1, brightest[:, None])[:, 0] / spread.clamp(min=1)
    hue = torch.round(HUES / 6 * (2 * brightest + offset)) % HUES
    saturation = torch.round(LARGEST * spread / value.clamp(min=1))
    return torch.stack([hue, saturation, value], dim=1)


def hsv_to_levels(hsv: Tensor) -> Tensor:
    """Hue 0..179, saturation and value 0..255 -> RGB, rounded (A. R. Smith, 1978).

    With k = (n + hue / 60 degrees) mod 6 and n = 5, 3, 1 for red, green and blue, a channel is
    value (1 - saturation max(0, min(k, 4 - k, 1))).
    """
    hue, saturation, value = hsv.unbind(1)
    corners = 5 - 2 * torch.arange(3, device=hsv.device)  # 5, 3, 1
    k = (corners[:, None, None] + 6 / HUES * hue[:, None]) % 6  # (N, 3, H, W)
    falls = torch.minimum(k, 4 - k).clamp(0, 1)
    return torch.round(value[:, None] * (1 - saturation[:, None] / LARGEST * falls))


def _cut(levels: Tensor) -> Tensor:
    return levels.clamp(0, LARGEST).floor()
