"""What extractors check of their input, and options that they share."""

from __future__ import annotations

import numpy as np

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.options import check_at_least
from silk_sfm.shapes import check_dtypes, check_shapes

SMALLEST_WINDOW = 64 * 64


def check_keypoints(keypoints: np.ndarray) -> None:
    """Checks (N, 2) float32 places to describe.

    Raises ValueError or TypeError for another kind of array, ImageError when one is not finite.
    """
    check_shapes(keypoints=(keypoints, "N 2"))
    check_dtypes(keypoints=(keypoints, np.float32))
    if not np.isfinite(keypoints).all():
        raise ImageError("Keypoints to describe hold NaN or infinity; leave those out.")


def is_blank(image: np.ndarray) -> bool:
    """Has the whole image one colour? Then there is nothing to find, whatever a network says."""
    return bool((image == image[:1, :1]).all())


def has_nothing(image: np.ndarray, smallest_side: int) -> bool:
    """Is the image smaller than a network can take, or of one colour?

    Networks that take the best places of any image find some in one colour, too.
    """
    return min(image.shape[:2]) < smallest_side or is_blank(image)


def check_numbers(top_k: int, window_pixels: int) -> None:
    """Raises ConfigError when an option that the extractors share is out of its range."""
    check_at_least("top_k", top_k, 0)
    check_at_least("window_pixels", window_pixels, SMALLEST_WINDOW)


def check_share(name: str, value: float) -> None:
    """Raises ConfigError unless an option lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must lie in [0, 1], got {value}.")
