"""The largest value around each cell of a map, quickly for any radius."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def largest_around(values: Tensor, radius: int, beyond: float) -> Tensor:
    """(H, W) largest of the (2 radius + 1) square around each cell; `beyond` outside of the map.

    values: of any dtype with an order
    Along each axis, windows of 2, 4, 8, ... are joined from two halves, which may overlap.
    """
    side = 2 * radius + 1
    for axis, margin in ((0, (0, 0, radius, radius)), (1, (radius, radius))):
        values = functional.pad(values, margin, value=beyond)
        reached = 1
        while reached < side:
            step = min(reached, side - reached)
            length = values.shape[axis] - step
            halves = values.narrow(axis, 0, length), values.narrow(axis, step, length)
            values, reached = torch.maximum(*halves), reached + step
    return values
