"""Building with slabs and panels: walls with windows, roofs, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from silk_sfm.synthetic.materials import Canvas, Material, glass
from silk_sfm.synthetic.primitives import Panel
from silk_sfm.synthetic.scene import Piece

Painter = Callable[[Canvas, np.random.Generator], Material]
RECESS = 0.14
"""Metres that window panes and doors lie behind their wall."""
BURIED = 0.6
"""Metres that buildings reach below the ground they stand on."""


@dataclass(frozen=True, eq=False)
class Place:
    """A frame to build in: u to the right, v down, out towards the one who looks at it.

    origin, right, down: (3,) float64; right and down are orthogonal unit vectors
    density: texels per metre; rng: draws all materials
    """

    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray
    density: float
    rng: np.random.Generator

    @property
    def out(self) -> np.ndarray:
        """(3,) unit vector out of the wall."""
        return np.cross(self.down, self.right)

    def at(self, u: float, v: float, out: float = 0.0) -> np.ndarray:
        """(3,) world point."""
        return self.origin + u * self.right + v * self.down + out * self.out

    def moved(self, u: float, v: float, out: float = 0.0) -> Place:
        """The same frame with its origin elsewhere."""
        return replace(self, origin=self.at(u, v, out))

    def turned(self, right: np.ndarray, down: np.ndarray) -> Place:
        """Another frame at the same origin."""
        return replace(self, right=right, down=down)

    def panel(
        self,
        size: tuple[float, float],
        painter: Painter,
        cutout: Callable[[Canvas], np.ndarray] | None = None,
    ) -> Piece:
        """A painted rectangle from the origin to the right and down."""
        canvas = Canvas(*size, self.density)
        solid = None if cutout is None else cutout(canvas)
        shape = Panel(self.origin, self.right, self.down, size, solid)
        return Piece(shape, painter(canvas, self.rng))

    def slab(
        self, size: tuple[float, float], thickness: float, painter: Painter, edge: Painter
    ) -> list[Piece]:
        """A box whose front is `size` from the origin on, and which lies `thickness` behind it."""
        (width, height), right, down, out = size, self.right, self.down, self.out
        faces = [
            (self, (width, height), painter),
            (self.moved(width, 0).turned(-out, down), (thickness, height), edge),
            (self.moved(width, 0, -thickness).turned(-right, down), (width, height), painter),
            (self.moved(0, 0, -thickness).turned(out, down), (thickness, height), edge),
            (self.moved(0, 0, -thickness).turned(right, out), (width, thickness), edge),
            (self.moved(0, height).turned(right, -out), (width, thickness), edge),
        ]
        return [place.panel(face, paint) for place, face, paint in faces]


def stand(
    x: float, y: float, z: float, yaw: float, density: float, rng: np.random.Generator
) -> Place:
    """An upright frame at a world position; with `yaw` (degrees, to the left) 0 it faces south."""
    angle = np.deg2rad(yaw)
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    return Place(np.array([x, y, z]), right, np.array([0.0, 0.0, -1.0]), density, rng)


@dataclass(frozen=True)
class Opening:
    """A window or door in a wall, metres from the wall's top-left corner.

    round_top: closed by an arch; shutters: whether it has them
    """

    u: float
    v: float
    width: float
    height: float
    round_top: bool = False
    shutters: bool = False
    door: bool = False


def cut_openings(
    canvas: Canvas, outline: np.ndarray | None, openings: Sequence[Opening]
) -> np.ndarray:
    """(H, W) float32: 1 on the wall inside `outline` (K, 2) metres, 0 in the openings."""
    solid = np.zeros(canvas.shape, np.uint8)
    _fill(solid, outline, canvas, 255) if outline is not None else solid.fill(255)
    for opening in openings:
        u, v, width, height = opening.u, opening.v, opening.width, opening.height
        hole = np.array([[u, v], [u + width, v], [u + width, v + height], [u, v + height]])
        if opening.round_top:
            angles = np.linspace(np.pi, 2 * np.pi, 24)
            arch = np.column_stack([np.cos(angles), np.sin(angles)]) * width / 2
            middle = np.array([u + width / 2, v + width / 2])
            hole = np.vstack([arch + middle, hole[2:]])
        _fill(solid, hole, canvas, 0)
    return solid.astype(np.float32) / 255


def _fill(mask: np.ndarray, polygon: np.ndarray, canvas: Canvas, value: int) -> None:
    texels = np.array(canvas.shape[::-1]) / [canvas.width, canvas.height]
    fixed = np.rint((polygon * texels - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(mask, [fixed.reshape(-1, 1, 2)], value, cv2.LINE_AA, 8)


@dataclass(frozen=True)
class Style:
    """How a house is painted."""

    wall: Painter
    roof: Painter
    trim: Painter
    wood: Painter


def wall(
    place: Place,
    size: tuple[float, float],
    style: Style,
    openings: Sequence[Opening] = (),
    outline: np.ndarray | None = None,
) -> list[Piece]:
    """A wall with its windows and doors."""

    def cutout(canvas: Canvas) -> np.ndarray:
        return cut_openings(canvas, outline, openings)

    needs_cut = bool(openings) or outline is not None
    pieces = [place.panel(size, style.wall, cutout if needs_cut else None)]
    for opening in openings:
        pieces += _fittings(place.moved(opening.u, opening.v), opening, style)
    return pieces


def _fittings(place: Place, opening: Opening, style: Style) -> list[Piece]:
    """Pane or door, reveals, sill, lintel and shutters; `place` is the opening's top-left."""
    width, height = opening.width, opening.height
    pane = style.wood if opening.door else glass
    pieces = [place.moved(0, 0, -RECESS).panel((width, height), pane)]
    pieces += _reveals(place, (width, height), style.trim)
    if not opening.door:
        sill = place.moved(-0.08, height, 0.09)
        pieces += sill.slab((width + 0.16, 0.07), 0.12, style.trim, style.trim)
    if not opening.round_top:
        lintel = place.moved(-0.12, -0.16, 0.035)
        pieces += lintel.slab((width + 0.24, 0.16), 0.05, style.trim, style.trim)
    if opening.shutters:
        for u in (-0.03 - width / 2, width + 0.03):
            shutter = place.moved(u, 0, 0.05)
            pieces += shutter.slab((width / 2, height), 0.04, style.wood, style.wood)
    return pieces


def _reveals(place: Place, size: tuple[float, float], paint: Painter) -> list[Piece]:
    """The inner sides of an opening; they face its middle."""
    (width, height), right, down, out = size, place.right, place.down, place.out
    sides = [
        (place.turned(-out, down), (RECESS, height)),
        (place.moved(width, 0, -RECESS).turned(out, down), (RECESS, height)),
        (place.turned(right, -out), (width, RECESS)),
        (place.moved(0, height, -RECESS).turned(right, out), (width, RECESS)),
    ]
    return [side.panel(area, paint) for side, area in sides]


@dataclass(frozen=True)
class House:
    """Sizes in metres, `pitch` of the roof in degrees; the ridge runs along the front."""

    width: float
    depth: float
    height: float
    pitch: float
    front: tuple[Opening, ...] = ()
    side: tuple[Opening, ...] = ()

    @property
    def rise(self) -> float:
        """Height of the ridge above the walls."""
        return float(self.depth / 2 * np.tan(np.deg2rad(self.pitch)))


def build_house(place: Place, house: House, style: Style) -> list[Piece]:
    """A house; `place` stands at the middle of its floor and faces as its front does.

    Openings of the front count from the top of the wall, those of the sides from the ridge.
    """
    w, d, rise = house.width, house.depth, house.rise
    right, down, out = place.right, place.down, place.out
    tall, taller = house.height + BURIED, house.height + BURIED + rise
    gable = np.array([[d / 2, 0], [d, rise], [d, taller], [0, taller], [0, rise]])
    top = place.moved(0, -house.height)
    pieces = wall(top.moved(-w / 2, 0, d / 2), (w, tall), style, house.front)
    pieces += wall(top.moved(w / 2, 0, -d / 2).turned(-right, down), (w, tall), style)
    gables = [top.moved(w / 2, -rise, d / 2).turned(-out, down),
              top.moved(-w / 2, -rise, -d / 2).turned(out, down)]  # fmt: skip
    for side in gables:
        pieces += wall(side, (d, taller), style, house.side, gable)
    return pieces + _roof(top.moved(0, -rise), house, style)


def _roof(ridge: Place, house: House, style: Style) -> list[Piece]:
    """Two slopes of tiles on boards, and a ridge beam; `ridge` is at its middle."""
    pitch = np.deg2rad(house.pitch)
    length, slope = house.width + 0.7, house.depth / 2 / np.cos(pitch) + 0.45
    pieces: list[Piece] = []
    for sign in (1, -1):
        right = ridge.right * sign
        down = ridge.out * sign * np.cos(pitch) + ridge.down * np.sin(pitch)
        plane = ridge.turned(right, down).moved(-length / 2, -0.05, 0.12)
        faces = plane.slab((length, slope), 0.1, style.roof, style.wood)
        pieces += faces[:2] + faces[3:]
        under = plane.moved(length, 0, -0.1).turned(-right, down)
        pieces.append(under.panel((length, slope), style.wood))
    cap = ridge.moved(-length / 2, -0.19, 0.11)
    return pieces + cap.slab((length, 0.13), 0.22, style.roof, style.roof)
