"""What a scene is: shapes with their lit textures, under a sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silk_sfm.synthetic.materials import Material
from silk_sfm.synthetic.primitives import Shape
from silk_sfm.synthetic.texture import Texture


@dataclass(frozen=True, eq=False)
class Piece:
    """A shape with its material, before light falls on it.

    thin: light shines through, as in leaves
    lies_low: throws no shadow, as the ground
    """

    shape: Shape
    material: Material
    thin: bool = False
    lies_low: bool = False


@dataclass(frozen=True, eq=False)
class Surface:
    """A shape with the colours it shows, light and shadow included."""

    shape: Shape
    texture: Texture


@dataclass(frozen=True, eq=False)
class Scene:
    """All that a camera sees.

    surfaces: opaque, in any order
    sky: (H, W, 3) uint8 colours of directions, see `silk_sfm.synthetic.sky`
    seed: number that the noise and exposure of photos depend on
    """

    surfaces: tuple[Surface, ...]
    sky: np.ndarray
    seed: int
