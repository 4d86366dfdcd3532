"""Where to cut an axis."""

from __future__ import annotations

import math


def cuts(length: int, most: int) -> list[int]:
    """0, ..., length: edges of as few nearly equal parts as possible, none above `most`."""
    parts = math.ceil(length / most)
    return [length * part // parts for part in range(parts + 1)]
