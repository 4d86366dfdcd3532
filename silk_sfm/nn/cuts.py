"""Where to cut an axis."""

from __future__ import annotations

import math


def cuts(length: int, most: int) -> list[int]:
    """0, ..., length: edges of as few nearly equal parts as possible, none above `most`."""
    return equal_cuts(length, math.ceil(length / most))


def equal_cuts(length: int, parts: int) -> list[int]:
    """0, ..., length: edges of so many nearly equal parts, none above length / parts rounded up."""
    return [length * part // parts for part in range(parts + 1)]
