"""From SuperPoint's scores to keypoints, and where its descriptors are read.

The codes in use differ in details. The default here is the geometrically exact one; the others are
kept by name, because results recorded with them can only be repeated with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.nn.detection import REMOVED, remove_border, suppress_neighbours
from silk_sfm.nn.neighbourhood import largest_around
from silk_sfm.nn.sampling import half_pixel
from silk_sfm.nn.superpoint import CELL

Suppression = Literal["greedy", "rounds"]
Sampling = Literal["half-pixel", "superglue", "magicleap", "magicleap-2018"]

ROUNDS = 2
"""Of new maxima, after the first ones, in hloc, LightGlue and rpautrat/SuperPoint."""


def suppress(scores: Tensor, radius: int, how: Suppression) -> Tensor:
    """(H, W) scores with all but the best of each square of (2 radius + 1) pixels at -inf.

    greedy: from the best score down, as in the paper's code; of equal scores the first stays.
    rounds: `suppress_in_rounds`.
    """
    if how == "greedy":
        return suppress_neighbours(scores, radius)
    return suppress_in_rounds(scores, radius)


def suppress_in_rounds(scores: Tensor, radius: int) -> Tensor:
    """Maxima of their square, then twice the maxima of what those do not suppress.

    Approximates the greedy way: long chains lose a few points, and equal neighbours all stay.
    """
    kept = scores == largest_around(scores, radius, REMOVED)
    for _ in range(ROUNDS):
        near = largest_around(kept.byte(), radius, 0) > 0
        left = torch.where(near, 0.0, scores)
        kept |= (left == largest_around(left, radius, REMOVED)) & ~near
    return torch.where(kept, scores, REMOVED)


def drop_border(
    scores: Tensor, border: int, image_shape: tuple[int, int], how: Suppression
) -> Tensor:
    """The scores with a frame of `border` pixels at -inf.

    scores: (8 h, 8 w), without the last image_shape mod 8 rows and columns. The frame is of the
    image; in the codes that suppress in rounds, that of the scores.
    """
    if how == "rounds":
        return remove_border(scores, border)
    height, width = scores.shape
    short = image_shape[0] - height, image_shape[1] - width
    padded = functional.pad(scores, (0, short[1], 0, short[0]), value=REMOVED)
    return remove_border(padded, border)[:height, :width]


def _superglue(xy: Tensor, map_size: Tensor, _: Tensor) -> Tensor:
    """Of SuperGlue, LightGlue and hloc: the corners are half a cell off."""
    half = CELL / 2 - 0.5
    return (xy - half) / (map_size * CELL - half - 1) * (map_size - 1)


_SAMPLINGS: Mapping[Sampling, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "half-pixel": lambda xy, map_size, image_size: half_pixel(xy, CELL),
    "superglue": _superglue,
    "magicleap": lambda xy, map_size, image_size: xy / image_size * map_size - 0.5,
    "magicleap-2018": lambda xy, map_size, image_size: xy / image_size * (map_size - 1),
}


def to_cells(xy: Tensor, maps: Tensor, image_shape: tuple[int, int], how: Sampling) -> Tensor:
    """(N, 2) pixels -> (N, 2) positions on (D, h, w) maps, first cell at (0, 0).

    half-pixel: exact, as in rpautrat/SuperPoint and in hloc with `fix_sampling`
    superglue: of SuperGlue, LightGlue and hloc's default
    magicleap: of the paper's code with a torch from 1.3 on, whose `grid_sample` changed
    magicleap-2018: of the paper's code with the torch of its time
    """
    map_size = torch.tensor([maps.shape[2], maps.shape[1]], device=xy.device)
    image_size = torch.tensor([image_shape[1], image_shape[0]], device=xy.device)
    return _SAMPLINGS[how](xy, map_size, image_size)
