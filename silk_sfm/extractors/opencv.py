"""What the OpenCV extractors share: 8-bit images in, arrays of keypoints out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from silk_sfm.images import check_grey


def eight_bit(image: np.ndarray, method: str) -> np.ndarray:
    """(H, W) float32 grey in 0..1 -> (H, W) uint8, rounded: OpenCV's features take nothing else.

    Raises ImageError when the image is of another kind; `method` is named in the message.
    """
    check_grey(image, method)
    return np.asarray(np.clip(np.rint(image * 255), 0, 255), np.uint8)


def places(found: Sequence[Any]) -> np.ndarray:
    """(N, 2) float32 positions of `cv2.KeyPoint`s."""
    return np.array([keypoint.pt for keypoint in found], np.float32).reshape(-1, 2)


def values(found: Sequence[Any], name: str) -> np.ndarray:
    """(N,) float32: one attribute of `cv2.KeyPoint`s (`response`, `size`, `angle`, `octave`)."""
    return np.array([getattr(keypoint, name) for keypoint in found], np.float32)


def best_first(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Rows of the `top_k` best (N,) scores, best first, equal ones in their order; 0 keeps all."""
    order = np.argsort(-scores, kind="stable")
    return order[:top_k] if top_k else order
