"""Descriptors as hloc lays them out: (D, N), mostly in float16.

OpenCV turns and torch converts them many times faster than numpy does. torch is imported when it is
needed: most of what opens a store never reads a descriptor.
"""

from __future__ import annotations

import cv2
import numpy as np


def to_columns(descriptors: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(N, D) float32 -> (D, N) of `dtype`, float16 or float32: a column per keypoint."""
    return _transposed(_converted(descriptors, dtype))


def to_rows(stored: np.ndarray) -> np.ndarray:
    """(D, N) of any precision -> (N, D) float32: a row per keypoint."""
    return _converted(_transposed(stored), np.dtype(np.float32))


def _converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rounded to nearest even, like numpy."""
    if {array.dtype, dtype} != {np.dtype(np.float16), np.dtype(np.float32)}:
        return array.astype(dtype, copy=False)
    import torch

    given = torch.from_numpy(np.require(array, requirements=("C", "W")))  # what torch can share
    converted: np.ndarray = (given.half() if dtype == np.float16 else given.float()).numpy()
    return converted


def _transposed(array: np.ndarray) -> np.ndarray:
    """A copy, not a view."""
    bits = {2: np.int16, 4: np.int32}.get(array.itemsize)
    if bits is None or array.ndim != 2 or not array.size:
        return np.ascontiguousarray(array.T)
    turned: np.ndarray = cv2.transpose(np.ascontiguousarray(array).view(bits))
    return turned.view(array.dtype)
