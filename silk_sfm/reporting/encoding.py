"""Arrays and pictures as text that stands inside the page."""

from __future__ import annotations

import base64

import numpy as np


def as_base64(values: np.ndarray, dtype: str) -> str:
    """An array as base64 of its bytes, row by row; `dtype` says their order (`<u2`)."""
    return base64.b64encode(np.ascontiguousarray(values).astype(dtype).tobytes()).decode()


def as_data_uri(jpeg: bytes) -> str:
    """A JPEG as the address of an image."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
