"""The colours that networks trained on ImageNet expect."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of red, green and blue in 0..1 over ImageNet."""


def normalise_colours(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in 0..1 with mean 0 and standard deviation 1 over ImageNet."""
    mean, deviation = (torch.tensor(each, device=rgb.device) for each in (MEAN, DEVIATION))
    return (rgb - mean[:, None, None]) / deviation[:, None, None]
