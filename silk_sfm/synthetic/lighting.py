"""Sun, sky light and shadows, computed once and painted into the textures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm.synthetic.primitives import Shape
from silk_sfm.synthetic.rays import RayGrid, parallel_rays
from silk_sfm.synthetic.scene import Piece, Surface
from silk_sfm.synthetic.texture import make_texture
from silk_sfm.synthetic.tracing import first_hits

SUN = np.array([-0.62, -0.56, 0.55]) / np.linalg.norm([-0.62, -0.56, 0.55])
SUN_COLOUR = np.array([3.5, 3.0, 2.3], np.float32)
SKY_COLOUR = np.array([0.42, 0.52, 0.70], np.float32)
BOUNCE_COLOUR = np.array([0.26, 0.22, 0.16], np.float32)
SHADOW_RADIUS = 19.0
"""Metres around the origin in which things throw shadows."""
N_SKY_DIRECTIONS = 14
PENUMBRA = ((0.0, 0.0), (1.2, 0.5), (-0.5, 1.2), (-1.2, -0.5), (0.5, -1.2))
"""Pixels of the sun's shadow map that are averaged."""
LIGHT_STEP = 3
"""Light is computed for every third texel in both directions."""


@dataclass(frozen=True, eq=False)
class ShadowMap:
    """How far parallel light gets: rays, and (S, S) float32 ray parameters of their first hits."""

    rays: RayGrid
    reach: np.ndarray

    def lit(
        self, points: np.ndarray, bias: float, taps: Sequence[tuple[float, float]] = ((0, 0),)
    ) -> np.ndarray:
        """(N,) float32 share of the light that reaches (N, 3) points.

        bias: metres that a shadow starts behind what throws it; taps: pixels to average over
        """
        xyw = np.column_stack([points, np.ones(len(points))]) @ self.rays.projection.T
        along = ((self.rays.origin[0] - points) @ -self.rays.direction[0] - bias).astype(np.float32)
        x, y = xyw[:, 0].astype(np.float32), xyw[:, 1].astype(np.float32)
        total = np.zeros(len(points), np.float32)
        for a, b in taps:
            total += _nearest(self.reach, x + a, y + b) > along
        return total / np.float32(len(taps))


def _nearest(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a square image at (N,) pixels; infinite outside."""
    column, row = np.rint(x).astype(np.int32), np.rint(y).astype(np.int32)
    inside = (column >= 0) & (row >= 0) & (column < len(image)) & (row < len(image))
    return np.where(inside, image[row * inside, column * inside], np.inf)


def shadow_map(towards_light: np.ndarray, shapes: Sequence[Shape], n_pixels: int) -> ShadowMap:
    """Trace all shapes from a far light."""
    rays = parallel_rays(towards_light, SHADOW_RADIUS, n_pixels)
    return ShadowMap(rays, first_hits(rays, shapes).distance.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Light:
    """The sun's shadow map, and those of some directions all over the sky, with the directions."""

    sun: ShadowMap
    sky: tuple[ShadowMap, ...]
    directions: np.ndarray


def make_light(pieces: Sequence[Piece], quality: float) -> Light:
    """Trace sun and sky; `quality` 1 gives shadow maps of 2 cm per pixel."""
    shapes = [piece.shape for piece in pieces if not piece.lies_low]
    turn = np.arange(N_SKY_DIRECTIONS) * np.pi * (3 - np.sqrt(5))
    up = np.sqrt((np.arange(N_SKY_DIRECTIONS) + 0.6) / N_SKY_DIRECTIONS)
    flat = np.sqrt(1 - up * up)
    directions = np.column_stack([np.cos(turn) * flat, np.sin(turn) * flat, up])
    sky = tuple(shadow_map(d, shapes, round(280 * quality)) for d in directions)
    return Light(shadow_map(SUN, shapes, round(1800 * quality)), sky, directions)


def illuminate(pieces: Sequence[Piece], light: Light) -> tuple[Surface, ...]:
    """Paint the light that falls on each piece into its texture."""
    coarse = [_coarse_shape(piece) for piece in pieces]
    points = [
        piece.shape.place(_centres(grid, piece.shape.size))
        for piece, grid in zip(pieces, coarse, strict=True)
    ]
    axes = [_axes(piece, at) for piece, at in zip(pieces, points, strict=True)]
    thin = np.repeat([piece.thin for piece in pieces], [len(at) for at in points])
    field = _incoming(np.concatenate(points), np.concatenate(axes), thin, light)
    parts = np.split(field, np.cumsum([len(at) for at in points])[:-1])
    return tuple(
        _paint_light(piece, part.reshape(*grid, 6))
        for piece, part, grid in zip(pieces, parts, coarse, strict=True)
    )


def _coarse_shape(piece: Piece) -> tuple[int, int]:
    rows, columns = piece.material.relief.shape
    return max(2, rows // LIGHT_STEP), max(2, columns // LIGHT_STEP)


def _axes(piece: Piece, points: np.ndarray) -> np.ndarray:
    """(N, 3, 3) float32: unit vectors to the right, down and out at (N, 3) points."""
    right, down = piece.shape.axes(points)
    return np.stack([right, down, np.cross(down, right)], axis=1).astype(np.float32)


def _incoming(points: np.ndarray, axes: np.ndarray, thin: np.ndarray, light: Light) -> np.ndarray:
    """(N, 6) float32: the sun in the surface's own axes (3), then the other light (3)."""
    sun = _sunlight(points, axes, thin, light.sun)
    return np.concatenate([sun, _sky_light(points, axes[:, 2], thin, light)], axis=1)


def _paint_light(piece: Piece, field: np.ndarray) -> Surface:
    """Combine a material with its coarse light field (h, w, 6)."""
    rows, columns = piece.material.relief.shape
    smooth = cv2.resize(field, (columns, rows), interpolation=cv2.INTER_LINEAR)
    direct = _relief_shading(piece, smooth[:, :, :3])
    radiance = piece.material.colour * (direct[:, :, None] * SUN_COLOUR + smooth[:, :, 3:])
    return Surface(piece.shape, make_texture(display(radiance), piece.shape.size))


def _centres(shape: tuple[int, int], size: tuple[float, float]) -> np.ndarray:
    """(rows x columns, 2) metres of the centres of a grid of cells on a texture."""
    v, u = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.column_stack([u.ravel() * size[0] / shape[1], v.ravel() * size[1] / shape[0]])


def _sunlight(
    points: np.ndarray, axes: np.ndarray, thin: np.ndarray, shadows: ShadowMap
) -> np.ndarray:
    """(N, 3) float32 direction to the sun in the surface's own axes, zero in the shade."""
    own = axes @ SUN.astype(np.float32)
    own[:, 2] = np.where(thin, np.abs(own[:, 2]), own[:, 2])
    lit = shadows.lit(points + 0.03 * axes[:, 2], 0.05, PENUMBRA)
    return np.asarray(own * (lit * np.clip(own[:, 2] * 12, 0, 1))[:, None], np.float32)


def _sky_light(
    points: np.ndarray, normal: np.ndarray, thin: np.ndarray, light: Light
) -> np.ndarray:
    """(N, 3) float32 light from the sky that is seen, and from the ground."""
    lifted = points + 0.08 * normal
    open_sky, seen = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    for shadows, direction in zip(light.sky, light.directions.astype(np.float32), strict=True):
        facing = normal @ direction
        lit = shadows.lit(lifted, 0.12)
        open_sky += np.where(thin, np.abs(facing), np.clip(facing, 0, None)) * lit
        seen += lit / len(light.sky)
    open_sky /= np.float32(light.directions[:, 2].sum())
    from_below = np.clip(0.6 - 0.5 * normal[:, 2], 0, 1) * (0.35 + 0.65 * seen)
    parts = open_sky[:, None] * SKY_COLOUR + from_below[:, None] * BOUNCE_COLOUR
    return np.asarray(parts, np.float32)


def _relief_shading(piece: Piece, sun: np.ndarray) -> np.ndarray:
    """(H, W) float32 cosine between the sun and the bumpy surface; `sun` (H, W, 3) in its axes."""
    if piece.thin:
        return np.asarray(sun[:, :, 2] * 0.8 + 0.1 * (sun[:, :, 2] > 0), np.float32)
    relief = piece.material.relief
    step = piece.shape.size[0] / relief.shape[1]
    slope_right = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3, scale=0.125 / step)
    slope_down = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3, scale=0.125 / step)
    cosine = sun[:, :, 2] - slope_right * sun[:, :, 0] - slope_down * sun[:, :, 1]
    return np.asarray(np.clip(cosine, 0, None) / np.sqrt(1 + slope_right**2 + slope_down**2))


def display(radiance: np.ndarray) -> np.ndarray:
    """Linear radiance -> uint8 display colours: a soft shoulder, then the sRGB curve."""
    compressed = np.clip(radiance * (1 + radiance * 0.12) / (1 + 0.75 * radiance), 0, 1)
    curve = np.where(
        compressed < 0.0031308, 12.92 * compressed, 1.055 * compressed ** (1 / 2.4) - 0.055
    )
    return np.asarray(np.rint(curve * 255), np.uint8)
