"""Where an image has nothing to see."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def constant_around(image: Tensor, reach: int) -> Tensor:
    """(H, W) bool: do all pixels within `reach` (a square) have exactly one value?

    image: (H, W) floating point. Beyond the border of the image there are no pixels.
    """
    return _largest_around(image, reach) == -_largest_around(-image, reach)


def _largest_around(image: Tensor, reach: int) -> Tensor:
    side = 2 * reach + 1
    largest = functional.max_pool2d(image[None, None], (side, 1), 1, (reach, 0))
    return functional.max_pool2d(largest, (1, side), 1, (0, reach))[0, 0]
