"""The grey that networks of the SiLK family are trained on."""

from __future__ import annotations

from torch import Tensor

WEIGHTS = (0.2989, 0.587, 0.114)


def training_grey(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB -> (N, 1, H, W): luma of ITU-R BT.601, in the range of the input.

    Inference reads files with `silk_sfm.images`, which has its own weights for grey.
    """
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    return WEIGHTS[0] * red + WEIGHTS[1] * green + WEIGHTS[2] * blue
