"""Pictures of keypoints and of the matches between two images."""

from __future__ import annotations

import cv2
import numpy as np

from silk_sfm.drawing.canvas import as_colour, draw_dot, draw_line, draw_text, quality_colours
from silk_sfm.shapes import check_shapes

HEADER = 28
GAP = 8
INK = (235, 235, 235)
PAPER = (24, 26, 30)
LINE_SHARE = 0.55
"""How much a line covers the photos below it."""


WRONG = (232, 72, 60)
"""Matches that verification dropped."""


def draw_keypoints(
    image: np.ndarray, keypoints: np.ndarray, scores: np.ndarray, radius: float = 1.5
) -> np.ndarray:
    """The (H, W, 3) uint8 image with (N, 2) keypoints as dots, coloured by their (N,) scores.

    radius: of the dots, in pixels
    """
    check_shapes(image=(image, "H W 3"), keypoints=(keypoints, "N 2"), scores=(scores, "N"))
    drawn = image.copy()
    order = np.argsort(scores, kind="stable")  # the best ones on top
    for row, colour in zip(order, quality_colours(scores)[order], strict=True):
        draw_dot(drawn, keypoints[row], radius, as_colour(colour))
    return drawn


def draw_matches(
    image_a: np.ndarray,
    image_b: np.ndarray,
    points_a: np.ndarray,
    points_b: np.ndarray,
    quality: np.ndarray,
    title: str = "",
    max_lines: int = 150,
) -> np.ndarray:
    """Two images side by side with lines between matched points, below a line of text.

    image_a, image_b: (H, W, 3) uint8 RGB; points_a, points_b: (M, 2) their pixels
    quality: (M,) colours the lines, yellow is best
    max_lines: so many lines are drawn, taken evenly from the matches sorted by quality
    """
    check_shapes(a=(points_a, "M 2"), b=(points_b, "M 2"), quality=(quality, "M"))
    shown = evenly(quality, max_lines)
    ends_a, ends_b, colours = points_a[shown], points_b[shown], quality_colours(quality)[shown]
    return draw_lines(image_a, image_b, ends_a, ends_b, colours, title)


def draw_lines(
    image_a: np.ndarray,
    image_b: np.ndarray,
    points_a: np.ndarray,
    points_b: np.ndarray,
    colours: np.ndarray,
    title: str = "",
) -> np.ndarray:
    """Two images side by side with a line for each match, the last one on top.

    image_a, image_b: (H, W, 3) uint8 RGB; points_a, points_b: (M, 2) their pixels
    colours: (M, 3) RGB
    """
    check_shapes(a=(points_a, "M 2"), b=(points_b, "M 2"), colours=(colours, "M 3"))
    height = max(len(image_a), len(image_b))
    shift = np.array([image_a.shape[1] + GAP, HEADER])
    canvas = np.full((height + HEADER, shift[0] + image_b.shape[1], 3), PAPER, np.uint8)
    canvas[HEADER : HEADER + len(image_a), : image_a.shape[1]] = image_a
    canvas[HEADER : HEADER + len(image_b), shift[0] :] = image_b
    draw_text(canvas, title, (10, HEADER - 9), INK)
    ends_a, ends_b = np.add(points_a, [0, HEADER]), points_b + shift
    lines = canvas.copy()
    for start, end, colour in zip(ends_a, ends_b, colours, strict=True):
        draw_line(lines, start, end, as_colour(colour))
    canvas = cv2.addWeighted(lines, LINE_SHARE, canvas, 1 - LINE_SHARE, 0)
    for start, end, colour in zip(ends_a, ends_b, colours, strict=True):
        draw_dot(canvas, start, 2.0, as_colour(colour))
        draw_dot(canvas, end, 2.0, as_colour(colour))
    return canvas


def evenly(quality: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, evenly from the lowest to the highest quality."""
    order = np.argsort(quality, kind="stable")
    if len(order) <= most:
        return order
    return np.asarray(order[np.linspace(0, len(order) - 1, most).astype(int)])
