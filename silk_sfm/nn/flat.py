"""Where an image has nothing to see."""

from __future__ import annotations

import math

from torch import Tensor

from silk_sfm.nn.neighbourhood import largest_around


def constant_around(image: Tensor, reach: int) -> Tensor:
    """(H, W) bool: do all pixels within `reach` (a square) have exactly one value?

    image: (H, W) floating point. Beyond the border of the image there are no pixels.
    """
    largest = largest_around(image, reach, -math.inf)
    return largest == -largest_around(-image, reach, -math.inf)
