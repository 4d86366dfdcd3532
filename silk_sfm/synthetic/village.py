"""The demo scene: a village square with houses, a tower and the remains of a temple."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from silk_sfm.synthetic.building import House, Opening, Painter, Place, Style, build_house, stand
from silk_sfm.synthetic.landmarks import (
    ashlar,
    build_barrel,
    build_columns,
    build_crate,
    build_fence,
    build_ruined_wall,
    build_tower,
    build_tree,
    build_well,
    oak,
    rubble,
    slate,
)
from silk_sfm.synthetic.lighting import illuminate, make_light
from silk_sfm.synthetic.materials import (
    BOTTLE_GREEN,
    CREAM,
    OCHRE,
    OXBLOOD,
    RED_BRICK,
    ROSE,
    TEAL,
    TERRACOTTA,
    Canvas,
    Material,
    blend,
    even,
    masonry,
    paint,
    planks,
    plaster,
    sign,
    tiles,
)
from silk_sfm.synthetic.noise import value_noise
from silk_sfm.synthetic.primitives import Ground, Panel
from silk_sfm.synthetic.scene import Piece, Scene
from silk_sfm.synthetic.sky import make_sky

DENSITY = 80.0
"""Texels per metre of the finest textures: about one per half pixel of a 640 px photo."""
GROUND_HALF_SIDE = 17.0
FAR_HALF_SIDE = 120.0
GRASS = (0.13, 0.15, 0.045)


def demo_scene(seed: int = 0, detail: float = 1.0) -> Scene:
    """The village; `detail` below 1 makes coarser textures and shadows in less time."""
    rng = np.random.default_rng(seed)
    ground = make_ground(rng)
    pieces = [
        *_ground_pieces(ground, DENSITY * detail * 0.8, rng),
        *_houses(ground, DENSITY * detail, rng),
        *_landmarks(ground, DENSITY * detail, rng),
    ]
    light = make_light(pieces, min(1.0, detail))
    sky = make_sky(rng)
    return Scene(illuminate(pieces, light), sky, seed)


def make_ground(rng: np.random.Generator) -> Ground:
    """Gentle relief that is flat around the square's middle and at the rim."""
    n = 272
    north, east = np.mgrid[:n, :n] / (n - 1) * 2 - 1
    away = np.maximum(np.abs(east), np.abs(north))
    relief = 0.26 * value_noise((n, n), 62, rng, 2) + 0.05 * value_noise((n, n), 14, rng, 2)
    rise = 0.5 * np.clip(away - 0.3, 0, 0.35) / 0.35
    rim = np.clip((1 - away) / 0.16, 0, 1)
    square = np.clip((np.hypot(east, north) - 0.1) / 0.3, 0.12, 1)
    heights = np.maximum(0.45 + relief * square + rise, 0.02) * rim * rim * (3 - 2 * rim)
    return Ground(cv2.GaussianBlur(heights.astype(np.float32), (0, 0), 2.5), GROUND_HALF_SIDE)


def _ground_pieces(ground: Ground, density: float, rng: np.random.Generator) -> list[Piece]:
    side = FAR_HALF_SIDE
    corner = np.array([-side, side, -0.03])
    size = (2 * side, 2 * side)
    plain = Panel(corner, np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), size)
    meadow = _grass(Canvas(*size, 5.0), rng, 9.0)
    return [
        Piece(ground, _square(Canvas(*ground.size, density), rng), lies_low=True),
        Piece(plain, meadow, lies_low=True),
    ]


def _grass(canvas: Canvas, rng: np.random.Generator, patch: float = 2.2) -> Material:
    """Grass and dry patches, `patch` metres wide."""
    density, shape = canvas.density, canvas.shape
    broad = value_noise(shape, patch * density, rng, 5)
    tufts = value_noise(shape, 0.25 * density, rng, 5)
    fine = value_noise(shape, 3.0, rng, 2)
    colour = paint(
        GRASS,
        (broad, (0.26, 0.12, 0.16)),
        (tufts, (0.2, 0.2, 0.12)),
        (fine, even(0.22)),
    )
    return Material(colour, (0.02 * tufts + 0.003 * fine).astype(np.float32))


def _square(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Cobbles in the middle and along two lanes, then earth, then grass."""
    shape = canvas.shape
    cobbles = _cobbles(canvas, rng)
    stones = np.clip(value_noise(shape, 0.12 * canvas.density, rng, 3) - 1.3, 0, 1)
    fine = value_noise(shape, 0.5 * canvas.density, rng, 6)
    earth = Material(
        paint((0.33, 0.25, 0.16), (fine, even(0.17)), (stones, even(0.5))),
        (0.012 * fine + 0.02 * stones).astype(np.float32),
    )
    north, east = 0.5 - np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    east, north = -east * canvas.width, north * canvas.height
    to_square = np.hypot(east * 0.85, north + 1.5) - 5.2
    to_lane = np.abs(east - 1.5 * np.sin(north * 0.35) - 0.5) - 1.3 + 3 * (north > 0)
    outside = np.minimum(to_square, to_lane) + 0.45 * value_noise(
        shape, 1.2 * canvas.density, rng, 4
    )
    ground = blend(cobbles, earth, outside * 1.6 + 0.5)
    return blend(ground, _grass(canvas, rng), (outside - 1.0) * 0.9 + 0.5 * fine)


def _cobbles(canvas: Canvas, rng: np.random.Generator) -> Material:
    """Cobbles where the square and the southern lane are; their edge colours elsewhere."""
    rows, columns = canvas.shape
    top, left, right = rows // 3, columns // 4, columns - columns // 4
    part = Canvas((right - left) / canvas.density, (rows - top) / canvas.density, canvas.density)
    laid = masonry(part, (0.34, 0.30, 0.25), rng, 0.17, 0.22, 0.45, 0.014)
    border = (top, 0, left, columns - right)
    colour, relief = (
        cv2.copyMakeBorder(field, *border, cv2.BORDER_REPLICATE)
        for field in (laid.colour, laid.relief * 2)
    )
    return Material(colour, relief)


def _style(wall: Painter, roof: Painter, trim: Painter, wood: tuple[float, float, float]) -> Style:
    return Style(wall, roof, trim, partial(_boards, base=wood))


def _boards(canvas: Canvas, rng: np.random.Generator, base: tuple[float, float, float]) -> Material:
    return planks(canvas, base, rng, 0.12)


def _wall_of(base: tuple[float, float, float]) -> Painter:
    return lambda canvas, rng: plaster(canvas, base, rng)


def _brick(canvas: Canvas, rng: np.random.Generator) -> Material:
    return masonry(canvas, RED_BRICK, rng)


def _red_tiles(canvas: Canvas, rng: np.random.Generator) -> Material:
    return tiles(canvas, TERRACOTTA, rng)


def _brown_tiles(canvas: Canvas, rng: np.random.Generator) -> Material:
    return tiles(canvas, (0.25, 0.14, 0.09), rng)


def _houses(ground: Ground, density: float, rng: np.random.Generator) -> list[Piece]:
    pieces = _bakery(_on(ground, -5.9, 1.6, 32, density, rng))
    pieces += _inn(_on(ground, 0.2, 6.4, -3, density, rng))
    pieces += _workshop(_on(ground, 7.4, 3.6, -38, density, rng))
    return pieces + _cottage(_on(ground, -9.6, 8.2, 12, density, rng))


def _on(
    ground: Ground, x: float, y: float, yaw: float, density: float, rng: np.random.Generator
) -> Place:
    z = float(ground.height_at(np.array([x]), np.array([y]))[0])
    return stand(x, y, z, yaw, density, rng)


def _bakery(place: Place) -> list[Piece]:
    house = House(
        5.2, 4.4, 3.0, 42,
        front=(
            Opening(0.75, 1.0, 0.85, 1.15, shutters=True),
            Opening(2.35, 0.85, 1.0, 2.15, round_top=True, door=True),
            Opening(3.95, 1.0, 0.85, 1.15),
        ),
        side=(
            Opening(1.75, 1.4, 0.8, 1.0),
            Opening(0.8, 3.1, 0.8, 1.1),
            Opening(2.8, 3.1, 0.8, 1.1),
        ),
    )  # fmt: skip
    pieces = build_house(place, house, _style(_brick, _red_tiles, ashlar, TEAL))
    board = partial(_board, base=TEAL, text="BAKERY 1887")
    pieces += place.moved(-1.25, -2.85, 2.32).slab((2.5, 0.5), 0.08, board, oak)
    pieces += place.moved(1.0, -6.1, 0.7).slab((0.6, 2.0), 0.6, _brick, _brick)
    return pieces + place.moved(-0.7, -0.16, 2.75).slab((1.4, 0.16), 0.6, ashlar, ashlar)


def _board(
    canvas: Canvas, rng: np.random.Generator, base: tuple[float, float, float], text: str
) -> Material:
    return sign(canvas, base, text, rng)


def _inn(place: Place) -> list[Piece]:
    upper = tuple(Opening(0.7 + 1.62 * i, 0.55, 0.8, 1.15, shutters=True) for i in range(4))
    lower = (
        Opening(0.7, 2.95, 0.85, 1.2),
        Opening(2.85, 2.75, 1.1, 2.1, door=True),
        Opening(5.55, 2.95, 0.85, 1.2),
    )
    house = House(6.9, 4.6, 4.9, 38, front=upper + lower, side=(Opening(1.9, 1.0, 0.8, 1.0),))
    pieces = build_house(place, house, _style(_wall_of(OCHRE), _brown_tiles, ashlar, BOTTLE_GREEN))
    board = partial(_board, base=OXBLOOD, text="THE OLD INN")
    pieces += place.moved(0.85, -2.75, 2.42).slab((2.6, 0.55), 0.07, board, oak)
    pieces += _timbers(place.moved(-3.45, -4.9, 2.34))
    pieces += place.moved(-2.6, -8.0, 0.4).slab((0.7, 2.2), 0.6, rubble, rubble)
    return pieces + place.moved(-1.0, -0.16, 2.95).slab((1.9, 0.16), 0.7, ashlar, ashlar)


def _timbers(top_left: Place) -> list[Piece]:
    """Beams of a half-timbered front; `top_left` lies just before the wall."""
    pieces: list[Piece] = []
    for v in (0.0, 2.15):
        pieces += top_left.moved(0, v).slab((6.9, 0.18), 0.08, oak, oak)
    for u in (0.0, 6.72):
        pieces += top_left.moved(u, 0.0, 0.01).slab((0.18, 4.9), 0.08, oak, oak)
    return pieces


def _workshop(place: Place) -> list[Piece]:
    house = House(
        4.8, 4.0, 2.7, 35,
        front=(Opening(0.6, 0.7, 1.5, 2.0, door=True), Opening(3.0, 0.8, 1.1, 1.0, shutters=True)),
        side=(Opening(1.5, 1.9, 0.9, 1.0),),
    )  # fmt: skip
    pieces = build_house(place, house, _style(_wall_of(CREAM), _red_tiles, rubble, OXBLOOD))
    board = partial(_board, base=BOTTLE_GREEN, text="SMITH & SONS")
    pieces += place.moved(-0.1, -2.6, 2.12).slab((2.2, 0.42), 0.08, board, oak)
    return pieces


def _cottage(place: Place) -> list[Piece]:
    windows = tuple(Opening(u, 0.8, 0.8, 1.1, shutters=True) for u in (0.8, 2.9))
    house = House(4.6, 4.2, 3.6, 45, front=windows)
    return build_house(place, house, _style(_wall_of(ROSE), slate, ashlar, CREAM))


def _landmarks(ground: Ground, density: float, rng: np.random.Generator) -> list[Piece]:
    def on(x: float, y: float, yaw: float = 0.0) -> Place:
        return _on(ground, x, y, yaw, density, rng)

    pieces = build_tower(on(5.0, 9.0), 1.55, 7.6)
    pieces += build_well(on(-0.9, -0.6, 20))
    pieces += build_columns(on(3.2, -2.6, 24), (2.7, 2.7, 1.5, 2.1))
    pieces += build_ruined_wall(on(-7.2, -3.6, -28), (0.7, 1.1, 1.6, 1.35, 0.8, 0.45))
    pieces += build_fence(on(-11.6, 2.2, 14), 4)
    for x, y in ((-2.3, 2.0), (-2.9, 1.5), (8.0, -0.6)):
        pieces += build_barrel(on(x, y))
    for x, y, side, yaw in ((4.0, 2.2, 0.75, 15), (4.85, 2.0, 0.6, -20), (2.2, -0.4, 0.5, 40)):
        pieces += build_crate(on(x, y, yaw), side)
    pieces += build_tree(on(-4.6, 6.6), 6.4, 1.9, 60)
    return pieces + build_tree(on(10.6, -0.6), 4.6, 1.6, 45)
