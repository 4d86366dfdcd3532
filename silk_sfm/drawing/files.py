"""Writing pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from silk_sfm.errors import ImageError


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG or JPEG; the file is whole or absent.

    Raises ImageError when the suffix is of no known kind.
    """
    known = path.suffix.lower() in (".png", ".jpg", ".jpeg")
    if not known:
        raise ImageError(f"Cannot write {path}. Name the picture .png or .jpg.")
    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[:, :, ::-1]))
    part = path.with_name(path.name + ".part")
    part.write_bytes(encoded.tobytes())
    part.replace(path)
