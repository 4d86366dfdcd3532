"""Writing pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from silk_sfm.errors import ImageError
from silk_sfm.files import whole_file


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG or JPEG; the file is whole or absent.

    Raises ImageError when the suffix is of no known kind, or when the picture is too large for it.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ImageError(f"Cannot write {path}. Name the picture .png or .jpg.")
    done, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[:, :, ::-1]))
    if not done:
        height, width = image.shape[:2]
        raise ImageError(
            f"Cannot write {path}: {width} x {height} pixels are too many for this kind of file. "
            "Choose .png or a smaller picture."
        )
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
