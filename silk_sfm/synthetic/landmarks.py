"""What stands between the houses: tower, ruin, well, trees, fence, crates and barrels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from silk_sfm.synthetic.building import BURIED, Painter, Place
from silk_sfm.synthetic.materials import (
    GREY_STONE,
    OAK,
    PINE,
    SANDSTONE,
    SLATE,
    Canvas,
    Material,
    masonry,
    paint,
    planks,
    tiles,
)
from silk_sfm.synthetic.noise import value_noise
from silk_sfm.synthetic.primitives import Frustum, Panel
from silk_sfm.synthetic.scene import Piece


def ashlar(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Large squared sandstone."""
    return masonry(canvas, SANDSTONE, rng, course=0.24, length=0.46, irregular=0.35, joint=0.01)


def rubble(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Small irregular grey stones."""
    return masonry(canvas, GREY_STONE, rng, course=0.15, length=0.24, irregular=0.6, joint=0.012)


def oak(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Dark boards."""
    return planks(canvas, OAK, rng)


def pine(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Light boards."""
    return planks(canvas, PINE, rng, 0.13)


def bark(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Ribbed bark."""
    return planks(canvas, OAK, rng, 0.05)


def slate(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Blue-grey roof tiles."""
    return tiles(canvas, SLATE, rng)


def iron(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Rusty iron."""
    rust = value_noise(canvas.shape, 0.08 * canvas.density, rng, 4)
    colour = paint((0.07, 0.055, 0.05), (rust, (0.4, 0.2, 0.1)))
    return Material(colour, (0.001 * rust).astype(np.float32))


def mantle(
    place: Place, radii: tuple[float, float], height: float, painter: Painter, lift: float = 0.0
) -> Piece:
    """A painted frustum around the place's vertical, its foot `lift` metres up."""
    shape = Frustum(place.origin + np.array([0, 0, lift]), radii, height)
    return Piece(shape, painter(Canvas(*shape.size, place.density), place.rng))


def disc(place: Place, radius: float, lift: float, painter: Painter) -> Piece:
    """A flat round lid."""

    def cutout(canvas: Canvas) -> np.ndarray:
        v, u = np.mgrid[: canvas.shape[0], : canvas.shape[1]] + 0.5
        away = np.hypot(u - canvas.shape[1] / 2, v - canvas.shape[0] / 2)
        return np.asarray(np.clip(canvas.shape[0] / 2 - away + 0.5, 0, 1), np.float32)

    flat = place.moved(0, -lift).turned(place.right, place.out)
    return flat.moved(-radius, -radius).panel((2 * radius, 2 * radius), painter, cutout)


def build_tower(place: Place, radius: float, height: float) -> list[Piece]:
    """A round stone tower with a slate cone, bands, slit windows and a clock face."""
    pieces = [
        mantle(place, (radius * 1.08, radius), height + BURIED, ashlar, -BURIED),
        mantle(place, (radius * 1.12, radius * 1.12), 0.22, rubble, height * 0.55),
        mantle(place, (radius * 1.02, radius * 1.2), 0.4, rubble, height - 0.3),
        mantle(place, (radius * 1.32, 0.03), radius * 1.9, slate, height + 0.1),
        mantle(place, (radius * 1.32, radius * 1.32), 0.1, oak, height),
    ]
    for turn, up in ((-0.55, 0.3), (0.35, 0.72), (0.9, 0.36), (-0.1, 0.36), (-0.95, 0.76)):
        pieces += _slit(place, turn, radius, up * height)
    return pieces


def _slit(place: Place, turn: float, radius: float, lift: float) -> list[Piece]:
    """A framed narrow window on a tower, `turn` radians left of its front."""
    right = place.right * np.cos(turn) + place.out * np.sin(turn)
    on_wall = place.moved(0, -lift).turned(right, place.down).moved(0, 0, radius * 1.02)
    frame = on_wall.moved(-0.28, -0.95, 0.07).slab((0.56, 0.95), 0.3, rubble, rubble)
    return [*frame, on_wall.moved(-0.14, -0.8, 0.074).panel((0.28, 0.66), iron)]


def build_columns(place: Place, heights: Sequence[float]) -> list[Piece]:
    """A row of more or less broken columns on a step; the tallest two carry a beam."""
    pieces = place.moved(-0.6, -0.25, 0.55).slab(
        (1.35 * (len(heights) - 1) + 1.2, 0.25 + BURIED), 1.1, ashlar, ashlar
    )
    for i, height in enumerate(heights):
        foot = place.moved(1.35 * i, -0.25)
        pieces += foot.moved(-0.36, -0.14, 0.36).slab((0.72, 0.14), 0.72, ashlar, ashlar)
        pieces.append(mantle(foot, (0.27, 0.235), height, _fluted, 0.14))
        pieces.append(disc(foot, 0.24, height + 0.14, ashlar))
    top = place.moved(-0.38, -0.39 - max(heights) - 0.36, 0.34)
    return pieces + top.slab((2.1, 0.36), 0.68, ashlar, ashlar)


def _fluted(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Drums of a column with flutes."""
    stone = masonry(
        canvas, (0.60, 0.53, 0.42), rng, course=0.62, length=9.0, irregular=0.2, joint=0.006
    )
    across = np.linspace(0, 16 * 2 * np.pi, canvas.shape[1], dtype=np.float32)
    return Material(stone.colour, stone.relief + 0.014 * np.cos(across)[None])


def build_ruined_wall(place: Place, tops: Sequence[float], step: float = 0.55) -> list[Piece]:
    """A thick rubble wall whose height changes from block to block."""
    pieces: list[Piece] = []
    for i, top in enumerate(tops):
        block = place.moved(i * step, -top, 0.25 + 0.04 * (i % 3))
        pieces += block.slab((step, top + BURIED), 0.5, rubble, rubble)
    return pieces


def build_well(place: Place) -> list[Piece]:
    """A round well under a little roof."""
    pieces = [
        mantle(place, (0.8, 0.78), 0.85 + BURIED, rubble, -BURIED),
        mantle(place, (0.58, 0.58), 0.85, rubble),
        disc(place, 0.6, 0.35, iron),
        disc(place, 0.84, 0.86, ashlar),
    ]
    for u in (-0.72, 0.60):
        pieces += place.moved(u, -2.15, 0.06).slab((0.12, 2.15), 0.12, oak, oak)
    pieces += place.moved(-0.9, -1.65, 0.05).slab((1.8, 0.1), 0.1, oak, oak)
    for sign in (1, -1):
        slope = place.out * sign * 0.8 + place.down * 0.6
        roof = place.moved(0, -2.65).turned(place.right * sign, slope).moved(-1.05, 0, 0.05)
        pieces += roof.slab((2.1, 0.95), 0.06, slate, oak)
    return pieces


def build_barrel(place: Place) -> list[Piece]:
    """A barrel with hoops."""
    pieces = [
        mantle(place, (0.27, 0.34), 0.42, pine),
        mantle(place, (0.34, 0.27), 0.42, pine, 0.42),
    ]
    pieces += [
        mantle(place, (r, r), 0.05, iron, z)
        for r, z in ((0.305, 0.12), (0.348, 0.39), (0.31, 0.66))
    ]
    return [*pieces, disc(place, 0.275, 0.83, pine)]


def build_crate(place: Place, side: float) -> list[Piece]:
    """A wooden box with corner battens, standing on the place."""
    pieces = place.moved(-side / 2, -side, side / 2).slab((side, side), side, pine, pine)
    for v in (0.02, side - 0.12):
        batten = place.moved(-side / 2 - 0.02, v - side, side / 2 + 0.02)
        pieces += batten.slab((side + 0.04, 0.1), side + 0.04, oak, oak)
    return pieces


def build_fence(place: Place, n_posts: int) -> list[Piece]:
    """Posts with two rails."""
    pieces: list[Piece] = []
    for i in range(n_posts):
        height = 1.0 + place.rng.uniform(-0.08, 0.1)
        pieces += place.moved(1.1 * i, -height).slab((0.11, height + 0.3), 0.11, oak, oak)
    for v in (-0.85, -0.45):
        pieces += place.moved(-0.2, v, 0.04).slab((1.1 * n_posts - 0.6, 0.09), 0.04, pine, pine)
    return pieces


def build_tree(place: Place, height: float, spread: float, n_cards: int) -> list[Piece]:
    """A trunk and a cloud of leafy twigs."""
    rng = place.rng
    pieces = [mantle(place, (0.19, 0.1), height * 0.75, bark, -0.2)]
    twigs = [_twig(Canvas(1.25, 1.25, place.density), rng) for _ in range(5)]
    for _ in range(n_cards):
        offset = rng.standard_normal(3)
        offset *= (0.35 + 0.65 * rng.random() ** 0.4) / np.linalg.norm(offset)
        centre = place.origin + [0, 0, height * 0.72] + offset * [spread, spread, height * 0.33]
        right, down = np.linalg.qr(rng.standard_normal((3, 2)))[0].T
        material, cutout = twigs[int(rng.integers(len(twigs)))]
        panel = Panel(centre - 0.62 * (right + down), right, down, (1.25, 1.25), cutout)
        tone = Material(material.colour * np.float32(np.exp(rng.normal(0, 0.18))), material.relief)
        pieces.append(Piece(panel, tone, thin=True))
    return pieces


def _twig(canvas: Canvas, rng: np.random.Generator) -> tuple[Material, np.ndarray]:
    """A square of leaves: material, and (H, W) float32 cutout."""
    rows, columns = canvas.shape
    colour, solid = (
        np.full((rows, columns, 3), 0.03, np.float32),
        np.zeros((rows, columns), np.uint8),
    )
    for _ in range(170):
        direction = rng.normal(0, 0.21, 2)
        centre = (int(columns * (0.5 + direction[0])), int(rows * (0.5 + direction[1])))
        axes = (max(2, int(0.075 * canvas.density)), max(1, int(0.036 * canvas.density)))
        green = np.array([0.13, 0.21, 0.045]) * np.exp(rng.normal(0, 0.3) + rng.normal(0, 0.1, 3))
        turn = float(rng.uniform(0, 360))
        cv2.ellipse(colour, centre, axes, turn, 0, 360, green.tolist(), -1, cv2.LINE_AA)
        cv2.ellipse(solid, centre, axes, turn, 0, 360, 255, -1, cv2.LINE_AA)
    grain = value_noise((rows, columns), 0.05 * canvas.density, rng, 2)
    colour *= np.exp(0.12 * grain)[:, :, None]
    return Material(colour, np.zeros((rows, columns), np.float32)), solid.astype(np.float32) / 255
