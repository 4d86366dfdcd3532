"""Pictures of what a network has learned so far: keypoints, matches, descriptors of two views."""

from __future__ import annotations

import cv2
import numpy as np

from silk_sfm.drawing.canvas import Colour, draw_dot, draw_line, draw_text
from silk_sfm.training.sight import Sight, Sighted

SHORTEST_SIDE = 480
"""Views are enlarged by a whole number up to about this many pixels."""
HEADER, GAP = 28, 8
PAPER, INK = (24, 26, 30), (235, 235, 235)
RIGHT, WRONG, UNSEEN = (80, 220, 100), (255, 80, 60), (150, 150, 150)


def training_pictures(sight: Sight) -> dict[str, np.ndarray]:
    """Pictures by name, (H, W, 3) uint8 RGB."""
    return {
        "keypoints": draw_sighted_keypoints(sight),
        "matches": draw_sighted_matches(sight),
        "descriptors": draw_sighted_descriptors(sight),
    }


def draw_sighted_keypoints(sight: Sight) -> np.ndarray:
    """Keypoints green where the other view has one too, red where it has none, grey beyond it."""
    views = (sight.a, sight.b)
    n_shared, n_repeated = (
        sum(int(getattr(view, name).sum()) for view in views) for name in ("shared", "repeated")
    )
    title = f"{n_repeated} of {n_shared} keypoints again in the other view"
    canvas, scale, starts = _beside_each_other([_grey(view) for view in views], title)
    for view, start in zip(views, starts, strict=True):
        for xy, colour in zip(view.keypoints, _keypoint_colours(view), strict=True):
            draw_dot(canvas, _enlarged(xy, scale) + start, 2.5, colour)
    return canvas


def draw_sighted_matches(sight: Sight) -> np.ndarray:
    """Lines between matched keypoints: green where right, red where wrong."""
    title = f"{int(sight.right.sum())} of {len(sight.right)} matches right"
    views = (sight.a, sight.b)
    canvas, scale, starts = _beside_each_other([_grey(view) for view in views], title)
    for order in np.argsort(~sight.right, kind="stable"):  # the wrong ones on top
        a, b = (
            _enlarged(view.keypoints[row], scale) + start
            for view, row, start in zip(views, sight.matches[order], starts, strict=True)
        )
        draw_line(canvas, a, b, RIGHT if sight.right[order] else WRONG)
    return canvas


def draw_sighted_descriptors(sight: Sight) -> np.ndarray:
    """The descriptors as colours: what has the same colour in both views looks alike to them."""
    title = "three main components of the descriptors"
    canvas, _, _ = _beside_each_other([sight.a.colours, sight.b.colours], title)
    return canvas


def _keypoint_colours(view: Sighted) -> list[Colour]:
    alone = [WRONG if shared else UNSEEN for shared in view.shared]
    pairs = zip(view.repeated, alone, strict=True)
    return [RIGHT if repeated else colour for repeated, colour in pairs]


def _grey(view: Sighted) -> np.ndarray:
    """(S, S, 3) uint8"""
    levels = np.rint(np.clip(view.image, 0, 1) * 255).astype(np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def _beside_each_other(
    images: list[np.ndarray], title: str
) -> tuple[np.ndarray, int, list[np.ndarray]]:
    """Two images of one size, enlarged, below a title; by how much, and where each one begins."""
    height, width = images[0].shape[:2]
    scale = max(1, round(SHORTEST_SIDE / height))
    large = [
        cv2.resize(im, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST) for im in images
    ]
    height, width = large[0].shape[:2]
    canvas = np.full((HEADER + height, 2 * width + GAP, 3), PAPER, np.uint8)
    starts = [np.array([0, HEADER]), np.array([width + GAP, HEADER])]
    for image, (x, y) in zip(large, starts, strict=True):
        canvas[y : y + height, x : x + width] = image
    draw_text(canvas, title, (10, HEADER - 9), INK)
    return canvas, scale, starts


def _enlarged(xy: np.ndarray, scale: int) -> np.ndarray:
    """Pixels of an image -> pixels of the image enlarged by `scale`."""
    return (xy + 0.5) * scale - 0.5
