"""Which surface each ray meets first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silk_sfm.synthetic.primitives import Shape
from silk_sfm.synthetic.rays import RayGrid


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of a grid of rays.

    distance: (H, W) float64 ray parameter t, infinite where nothing is hit
    shape: (H, W) int32 number of the shape, -1 where nothing is hit
    boxes: rows and columns outside which a shape is not seen, one per shape
    """

    distance: np.ndarray
    shape: np.ndarray
    boxes: tuple[tuple[slice, slice], ...]


def first_hits(rays: RayGrid, shapes: Sequence[Shape]) -> Hits:
    """Meet every shape inside its box and keep the nearest."""
    width, height = rays.size
    nearest = np.full((height, width), np.inf)
    number = np.full((height, width), -1, np.int32)
    boxes = tuple(rays.box(shape.hull) for shape in shapes)
    for index, (shape, box) in enumerate(zip(shapes, boxes, strict=True)):
        y, x = (np.arange(part.start, part.stop, dtype=np.float64) for part in box)
        if len(x) and len(y):
            t = shape.distance(rays, x[None], y[:, None])
            nearer = t < nearest[box]
            np.copyto(nearest[box], t, where=nearer)
            np.copyto(number[box], index, where=nearer)
    return Hits(nearest, number, boxes)
