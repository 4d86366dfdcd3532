"""Random fields for textures: smooth noise, courses of stones, cracks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


def value_noise(
    shape: tuple[int, int], cell: float, rng: np.random.Generator, octaves: int = 4
) -> np.ndarray:
    """(H, W) float32 of mean 0 and deviation about 1; the largest blobs are `cell` pixels wide."""
    total, gain, power = np.zeros(shape, np.float32), 1.0, 0.0
    for _ in range(octaves):
        total += gain * _noise_layer(shape, cell, rng)
        power += gain * gain
        cell, gain = cell / 2.1, gain * 0.6
        if cell < 1:
            break
    return np.asarray(total / np.sqrt(power), np.float32)


def _noise_layer(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> np.ndarray:
    height, width = shape
    rows, columns = int(height / cell) + 3, int(width / cell) + 3
    grid = rng.standard_normal((rows, columns), dtype=np.float32) * 1.3
    to_grid = np.array([[1 / cell, 0, rng.uniform(0.5, 1.5)], [0, 1 / cell, rng.uniform(0.5, 1.5)]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grid, to_grid, (width, height), flags=flags,
                                     borderMode=cv2.BORDER_REPLICATE))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Courses:
    """A surface laid in courses of stones, bricks, tiles or planks; all (H, W).

    stone: int64 number of the stone; joint: float32 pixels to the nearest joint
    across, down: float32 position within the stone, 0..1
    """

    stone: np.ndarray
    joint: np.ndarray
    across: np.ndarray
    down: np.ndarray

    def tint(self, rng: np.random.Generator) -> np.ndarray:
        """(H, W) float32, one normal random value per stone."""
        values = rng.standard_normal(int(self.stone.max()) + 1, dtype=np.float32)
        return np.asarray(values[self.stone])


def lay_courses(
    shape: tuple[int, int],
    course: float,
    length: float,
    irregular: float,
    wobble: float,
    rng: np.random.Generator,
) -> Courses:
    """Courses `course` pixels high of stones `length` pixels long.

    irregular: 0 for equal stones, 1 for sizes between nothing and double
    wobble: deviation of the joints from straight lines in pixels
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    if wobble:
        rows = rows + wobble * value_noise(shape, 2 * course, rng, 3)
        columns = columns + wobble * value_noise(shape, 2 * course, rng, 3)
    tops = _edges(int(shape[0] / course * 1.5) + 8, course, irregular, rng) - 3 * course
    row = np.clip(np.searchsorted(tops, rows.ravel()).reshape(shape) - 1, 0, len(tops) - 2)
    n = int(shape[1] / length * 1.6) + 8
    lefts = np.stack([_edges(n, length, irregular, rng) for _ in tops])
    lefts -= (2 + rng.random(len(tops)) * irregular + 0.5 * (np.arange(len(tops)) % 2))[
        :, None
    ] * length
    far = float(lefts.max() - lefts.min() + shape[1]) * 2
    flat = (lefts + far * np.arange(len(tops))[:, None]).ravel()
    index = np.searchsorted(flat, (columns + far * row).ravel()).reshape(shape) - 1
    index = np.clip(index, 0, flat.size - 2)
    left, right = lefts.ravel()[index], lefts.ravel()[index + 1]
    top, bottom = tops[row], tops[row + 1]
    aside = np.minimum(columns - left, right - columns)
    above = np.minimum(rows - top, bottom - rows)
    return Courses(
        stone=index,
        joint=np.minimum(aside, above).astype(np.float32),
        across=((columns - left) / (right - left)).astype(np.float32),
        down=((rows - top) / (bottom - top)).astype(np.float32),
    )


def _edges(n: int, step: float, irregular: float, rng: np.random.Generator) -> np.ndarray:
    sizes = step * (1 + irregular * rng.uniform(-1, 1, n) * 0.9)
    return np.cumsum(sizes)


def cracks(shape: tuple[int, int], n: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32, 1 on `n` thin random cracks of `length` pixels, 0 elsewhere."""
    lines = np.zeros(shape, np.uint8)
    for _ in range(n):
        start = rng.uniform(0, 1, 2) * shape[::-1]
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.45, 24))
        path = (
            start + np.cumsum(np.column_stack([np.cos(turns), np.sin(turns)]), axis=0) * length / 24
        )
        fixed = np.round(path * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(lines, [fixed], False, 255, 1, cv2.LINE_AA, 4)
    return lines.astype(np.float32) / 255
