"""Materials: what a surface is painted with, as colour and relief, made of random fields."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from silk_sfm.shapes import check_dtypes, check_shapes
from silk_sfm.synthetic.noise import Courses, cracks, lay_courses, value_noise

Colour = tuple[float, float, float]
RED_BRICK: Colour = (0.36, 0.13, 0.08)
SANDSTONE: Colour = (0.46, 0.37, 0.25)
GREY_STONE: Colour = (0.30, 0.29, 0.27)
OCHRE: Colour = (0.62, 0.43, 0.20)
CREAM: Colour = (0.68, 0.60, 0.45)
ROSE: Colour = (0.60, 0.34, 0.25)
OAK: Colour = (0.20, 0.11, 0.055)
PINE: Colour = (0.40, 0.26, 0.13)
TERRACOTTA: Colour = (0.42, 0.15, 0.075)
SLATE: Colour = (0.13, 0.15, 0.19)
TEAL: Colour = (0.07, 0.22, 0.23)
BOTTLE_GREEN: Colour = (0.05, 0.17, 0.09)
OXBLOOD: Colour = (0.30, 0.05, 0.04)


@dataclass(frozen=True, eq=False)
class Material:
    """colour: (H, W, 3) float32 linear reflectance in 0..1; relief: (H, W) float32 metres."""

    colour: np.ndarray
    relief: np.ndarray

    def __post_init__(self) -> None:
        check_shapes(colour=(self.colour, "H W 3"), relief=(self.relief, "H W"))
        check_dtypes(colour=(self.colour, np.float32), relief=(self.relief, np.float32))


@dataclass(frozen=True)
class Canvas:
    """The area a material has to cover: metres, and texels per metre."""

    width: float
    height: float
    density: float

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of texels."""
        return (
            max(4, round(self.height * self.density)),
            max(4, round(self.width * self.density)),
        )


def paint(base: Colour, *layers: tuple[np.ndarray, Colour]) -> np.ndarray:
    """(H, W, 3) float32: `base`, times exp(field x strength per channel) for every (H, W) layer."""
    fields = np.stack([field for field, _ in layers], axis=-1).astype(np.float32)  # (H, W, K)
    strengths = np.array([strength for _, strength in layers], np.float32)  # (K, 3)
    return np.asarray(np.clip(np.array(base, np.float32) * np.exp(fields @ strengths), 0.005, 0.95))


def even(strength: float) -> Colour:
    """The same strength in all three channels."""
    return strength, strength, strength


def blend(a: Material, b: Material, share: np.ndarray) -> Material:
    """Material `a` where `share` (H, W) is 0, `b` where it is 1."""
    weight = np.clip(share, 0, 1).astype(np.float32)
    colour = a.colour + (b.colour - a.colour) * weight[:, :, None]
    return Material(colour, a.relief + (b.relief - a.relief) * weight)


def masonry(
    canvas: Canvas,
    base: Colour,
    rng: np.random.Generator,
    course: float = 0.075,
    length: float = 0.23,
    irregular: float = 0.06,
    joint: float = 0.008,
) -> Material:
    """Bricks or stones in mortar; `course`, `length` and half `joint` in metres."""
    density, shape = canvas.density, canvas.shape
    laid = lay_courses(
        shape, course * density, length * density, irregular, 0.05 * course * density, rng
    )
    stone = np.clip((laid.joint - joint * density) / (0.014 * density) + 0.5, 0, 1)
    tint, hue = laid.tint(rng), laid.tint(rng)
    grain = value_noise(shape, 0.06 * density, rng, 4)
    stains = value_noise(shape, 1.2 * density, rng, 5)
    bricks = paint(base, (tint, even(0.24)), (hue, (0.05, -0.06, -0.10)), (grain, even(0.17)))
    mortar = paint((0.42, 0.38, 0.32), (grain, even(0.15)))
    colour = mortar + (bricks - mortar) * stone[:, :, None]
    colour *= np.exp(0.13 * stains - 0.9 * cracks(shape, 4, 0.9 * density, rng))[:, :, None]
    relief = stone * 0.012 + 0.0022 * grain + 0.003 * tint * stone
    return Material(_damp_foot(colour, canvas, stains), relief.astype(np.float32))


def _damp_foot(colour: np.ndarray, canvas: Canvas, stains: np.ndarray) -> np.ndarray:
    """Moss and damp along the lower edge of a wall."""
    metres = (canvas.shape[0] - np.arange(canvas.shape[0])[:, None]) / canvas.density
    damp = np.exp(-np.maximum(metres - 0.16 * stains, 0) / 0.22).astype(np.float32)
    return colour * np.exp(-damp[:, :, None] * np.array([0.75, 0.45, 0.85], np.float32))


def plaster(canvas: Canvas, base: Colour, rng: np.random.Generator) -> Material:
    """Weathered plaster; here and there it has come off the bricks."""
    density, shape = canvas.density, canvas.shape
    broad = value_noise(shape, 1.6 * density, rng, 6)
    fine = value_noise(shape, 0.10 * density, rng, 5)
    runs = cv2.GaussianBlur(
        value_noise(shape, 0.12 * density, rng, 3), (0, 0), 0.3, sigmaY=0.35 * density
    )
    crack = cracks(shape, 5, 1.3 * density, rng)
    colour = paint(
        base,
        (broad, (0.07, 0.09, 0.12)),
        (fine, even(0.085)),
        (runs, even(0.22)),
        (crack, even(-0.9)),
    )
    relief = (0.004 * fine + 0.02 - 0.006 * crack).astype(np.float32)
    coat = Material(_damp_foot(colour, canvas, broad), relief)
    bare = (value_noise(shape, 0.9 * density, rng, 5) - 1.75) * 9
    return blend(coat, masonry(canvas, RED_BRICK, rng), bare)


def tiles(canvas: Canvas, base: Colour, rng: np.random.Generator) -> Material:
    """Curved roof tiles in overlapping rows."""
    density, shape = canvas.density, canvas.shape
    laid = lay_courses(shape, 0.26 * density, 0.19 * density, 0.05, 0.012 * density, rng)
    grain = value_noise(shape, 0.08 * density, rng, 4)
    lichen = np.clip(value_noise(shape, 0.35 * density, rng, 5) - 1.1, 0, 1.2)
    tint, hue = laid.tint(rng), laid.tint(rng)
    edge = np.exp(-laid.joint / (0.012 * density))
    colour = paint(
        base,
        (tint, even(0.27)),
        (hue, (0.06, -0.07, -0.1)),
        (grain, even(0.16)),
        (lichen, (0.15, 0.45, 0.5)),
        (edge, even(-0.75)),
    )
    hump = np.sqrt(np.clip(1 - (2 * laid.across - 1) ** 2, 0, 1))
    relief = 0.035 * hump + 0.03 * laid.down + 0.003 * grain
    return Material(colour, relief.astype(np.float32))


def planks(canvas: Canvas, base: Colour, rng: np.random.Generator, width: float = 0.16) -> Material:
    """Upright boards `width` metres wide."""
    density, shape = canvas.density, canvas.shape
    turned = lay_courses(shape[::-1], width * density, 40 * density, 0.15, 0.0, rng)
    laid = Courses(turned.stone.T, turned.joint.T, turned.down.T, turned.across.T)
    rough = value_noise((shape[0] // 9 + 2, shape[1]), 0.05 * density, rng, 4)
    grain = cv2.resize(rough, shape[::-1], interpolation=cv2.INTER_CUBIC)
    knots = np.clip(value_noise(shape, 0.11 * density, rng, 2) - 1.7, 0, 1)
    edge = np.exp(-laid.joint / (0.007 * density))
    colour = paint(
        base,
        (laid.tint(rng), even(0.2)),
        (grain, even(0.2)),
        (knots, even(-1.3)),
        (edge, even(-1.3)),
        (value_noise(shape, 0.7 * density, rng, 4), even(0.12)),
    )
    return Material(colour, (0.002 * grain - 0.008 * edge).astype(np.float32))


def glass(canvas: Canvas, rng: np.random.Generator, columns: int = 2, rows: int = 3) -> Material:
    """Window panes that mirror some sky, between painted bars."""
    shape, density = canvas.shape, canvas.density
    v, u = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    u, v = u / shape[1] * columns, v / shape[0] * rows
    to_bar = np.minimum(np.abs(u - np.round(u)) * canvas.width / columns,
                        np.abs(v - np.round(v)) * canvas.height / rows)  # fmt: skip
    bars = np.clip((0.028 - to_bar) * density + 0.5, 0, 1)
    pane = (np.floor(v).astype(int) * columns + np.floor(u).astype(int)) % (rows * columns)
    glint = rng.uniform(-0.5, 0.9, rows * columns).astype(np.float32)[pane]
    slant = (v / rows + 0.6 * u / columns).astype(np.float32)
    cloud = value_noise(shape, 0.35 * density, rng, 4)
    panes = paint(
        (0.07, 0.095, 0.125), (glint, even(0.6)), (-slant, even(0.8)), (cloud, even(0.35))
    )
    frame = paint((0.62, 0.58, 0.50), (value_noise(shape, 0.05 * density, rng, 3), even(0.12)))
    share = bars[:, :, None]
    return Material((panes + (frame - panes) * share).astype(np.float32), bars * np.float32(0.02))


def sign(canvas: Canvas, base: Colour, text: str, rng: np.random.Generator) -> Material:
    """A painted board with a border and letters."""
    board = planks(canvas, base, rng, canvas.height / 2.5)
    ink = np.zeros(canvas.shape, np.uint8)
    font = cv2.FONT_HERSHEY_COMPLEX
    (width, height), below = cv2.getTextSize(text, font, 1.0, 2)
    scale = min(0.82 * canvas.shape[1] / width, 0.55 * canvas.shape[0] / (height + below / 2))
    left = (canvas.shape[1] - width * scale) / 2
    foot = (canvas.shape[0] + height * scale) / 2
    thick = max(1, round(2.2 * scale))
    cv2.putText(ink, text, (round(left), round(foot)), font, scale, 255, thick, cv2.LINE_AA)
    inset = round(0.05 * canvas.shape[0]) + 2
    corner = (canvas.shape[1] - 1 - inset, canvas.shape[0] - 1 - inset)
    cv2.rectangle(ink, (inset, inset), corner, 255, max(1, thick // 2), cv2.LINE_AA)
    worn = np.clip(
        1.1 - 0.35 * np.abs(value_noise(canvas.shape, 0.08 * canvas.density, rng, 3)), 0, 1
    )
    share = (ink.astype(np.float32) / 255 * worn)[:, :, None]
    letters = np.array([0.85, 0.72, 0.42], np.float32)
    return replace(
        board, colour=(board.colour + (letters - board.colour) * share).astype(np.float32)
    )
