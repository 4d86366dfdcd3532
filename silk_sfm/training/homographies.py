"""Random homographies between a square view and the photo it is taken from.

A view is a square window that is scaled, tilted about its x and y axis, turned in its plane and
then seen by a pinhole camera, as in the SiLK paper (arXiv 2304.06194, supplement). Coordinates here
are normalised: the window and the view reach from -1 to 1, x to the right, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from silk_sfm.errors import ConfigError

SMALLEST_DEPTH = 0.1
"""Of a corner of the window, where its centre has depth 1: nearer ones are drawn again."""

ROUNDS = 100


@dataclass(frozen=True)
class WarpOptions:
    """Which homographies a pair of views is made with; the defaults are the published ones.

    Each view of a pair has its own, unless `both` is off: then the first is a plain crop.
    """

    scale_min: float = 0.6
    """Smallest side of the window over the side of the view: below 1 the view magnifies."""
    scale_max: float = 0.9
    """Largest side of the window over the side of the view; even in the logarithm between both."""
    tilt: float = 0.78
    """Largest rotation about the x and the y axis, radians."""
    turn: float = 0.39
    """Largest rotation in the plane, radians."""
    any_turn: float = 0.0
    """Share of the pairs whose second view is turned by any angle."""
    distance: float = 1.0
    """Of the camera from the window, in halves of its side: 1 is the strongest perspective."""
    both: bool = False
    """Warp both views."""
    curriculum: int = 0
    """Iterations over which angles and scales grow from none to their full range."""

    def __post_init__(self) -> None:
        if not 0 < self.scale_min <= self.scale_max:
            raise ConfigError(
                f"scale-min must be above 0 and at most scale-max, got {self.scale_min} and "
                f"{self.scale_max}."
            )
        if not (0 <= self.tilt < math.pi / 2 and 0 <= self.turn <= math.pi):
            raise ConfigError(
                f"tilt must be in 0 to 1.57 and turn in 0 to 3.15 rad, got {self.tilt} and "
                f"{self.turn}."
            )
        if not 0 <= self.any_turn <= 1:
            raise ConfigError(f"any-turn is a share, 0 to 1, got {self.any_turn}.")
        if self.distance < 1 or self.curriculum < 0:
            raise ConfigError(
                f"distance must be at least 1 and curriculum at least 0, got {self.distance} and "
                f"{self.curriculum}."
            )

    def strength(self, iteration: int) -> float:
        """0..1: how much of the full range is drawn from at an iteration, counted from 0."""
        return min(1.0, iteration / self.curriculum) if self.curriculum else 1.0


def window_matrices(
    scale: Tensor, tilt_x: Tensor, tilt_y: Tensor, turn: Tensor, distance: float = 1.0
) -> Tensor:
    """(N,) each -> (N, 3, 3) float64 that map view (x, y, 1) to the photo, normalised.

    The window is scaled, then rotated about its own x and y axis, then about the optical axis, and
    divided by its depth; the last element is 1.
    """
    scale, tilt_x, tilt_y, turn = (part.double() for part in (scale, tilt_x, tilt_y, turn))
    cx, sx, cy, sy = tilt_x.cos(), tilt_x.sin(), tilt_y.cos(), tilt_y.sin()
    ct, st = turn.cos(), turn.sin()
    # (x, y, depth - 1) of the window's point (u, v) after both tilts
    x_u, x_v = cy, sy * sx
    y_u, y_v = torch.zeros_like(cx), cx
    d_u, d_v = -sy, cy * sx
    rows = [
        torch.stack([x_u * ct + y_u * st, x_v * ct + y_v * st], dim=1),
        torch.stack([y_u * ct - x_u * st, y_v * ct - x_v * st], dim=1),
        torch.stack([d_u, d_v], dim=1) / distance,
    ]
    matrices = torch.zeros(len(scale), 3, 3, dtype=torch.float64, device=scale.device)
    matrices[:, :, :2] = torch.stack(rows, dim=1) * scale[:, None, None]
    matrices[:, 2, 2] = 1
    return matrices


def smallest_depths(matrices: Tensor) -> Tensor:
    """(N, 3, 3) -> (N,): the depth of the nearest corner of each view, its centre's being 1."""
    return 1 - matrices[:, 2, :2].abs().sum(dim=1)


def draw_matrices(
    n: int, options: WarpOptions, strength: float, turned: Tensor, generator: torch.Generator
) -> Tensor:
    """(n, 3, 3) float64 random matrices, none with a corner near or behind the camera.

    strength: 0..1, see `WarpOptions.strength`
    turned: (n,) bool, the views that are turned by any angle
    """
    matrices = _draw(n, options, strength, turned, generator)
    for _ in range(ROUNDS):
        behind = smallest_depths(matrices) < SMALLEST_DEPTH
        if not behind.any():
            return matrices
        again = _draw(n, options, strength, turned, generator)
        matrices = torch.where(behind[:, None, None], again, matrices)
    raise ConfigError(
        f"Hardly any view with tilt {options.tilt}, scale-max {options.scale_max} and distance "
        f"{options.distance} lies in front of the camera. Lower tilt or raise distance."
    )


def _draw(
    n: int, options: WarpOptions, strength: float, turned: Tensor, generator: torch.Generator
) -> Tensor:
    draws = torch.rand(4, n, dtype=torch.float64, device=generator.device, generator=generator)
    even = 2 * draws - 1
    middle = math.log(options.scale_min * options.scale_max) / 2
    spread = math.log(options.scale_max / options.scale_min) / 2
    turns = torch.where(turned, math.pi, strength * options.turn) * even[3]
    return window_matrices(
        torch.exp(middle + spread * strength * even[0]),
        options.tilt * strength * even[1],
        options.tilt * strength * even[2],
        turns,
        options.distance,
    )
