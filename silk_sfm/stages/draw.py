"""Single pictures of keypoints, of the matches of a pair, and of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from silk_sfm.colmap.model import read_model
from silk_sfm.drawing import draw_keypoints, draw_lines, draw_model
from silk_sfm.drawing.canvas import quality_colours, subdued
from silk_sfm.drawing.matches import WRONG, evenly
from silk_sfm.errors import ConfigError, StoreError
from silk_sfm.features import Matches
from silk_sfm.images import ImageFolder, decode, resize, turn_upright
from silk_sfm.pixels import PixelGrid, size_within
from silk_sfm.stages.origin import check_origin
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore, store_kind

NO_COLOUR = 200
"""Grey of points in a model without colours."""
COVERED_SHARE = 0.1
"""Keypoints cover so much of the picture together, ..."""
SMALLEST_DOT, LARGEST_DOTS = 1.2, 400
"""... with a radius of at least so many pixels, and at most this part of the longer side."""


@dataclass(frozen=True)
class KeypointDrawing:
    """How keypoints are drawn."""

    max_size: int | None = 1600
    """Longer side of the picture in pixels, at most; None keeps the photo's size."""
    best: int | None = None
    """Draw only so many keypoints, those with the best scores; None draws all."""
    colour_by: Literal["rank", "score", "none"] = "rank"
    """From violet (lowest) to yellow (highest): rank counts the order of the scores; score the
    scores themselves; none draws all in one colour."""

    def __post_init__(self) -> None:
        _check_positive(max_size=self.max_size, best=self.best)


@dataclass(frozen=True)
class MatchDrawing:
    """How the matches of a pair are drawn."""

    tentative: Path | None = None
    """Match store that the verified ones were made from: draw what verification dropped, in red."""
    max_size: int | None = 1000
    """Longer side of each of the two photos in pixels, at most; None keeps their size."""
    max_lines: int = 150
    """So many lines are drawn, evenly from the worst to the best match."""
    seed: int | None = None
    """Draw a random choice of lines instead, another one for each seed."""

    def __post_init__(self) -> None:
        _check_positive(max_size=self.max_size, max_lines=self.max_lines)
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}.")


@dataclass(frozen=True)
class ModelDrawing:
    """How a model is drawn."""

    size: tuple[int, int] = (1280, 720)
    """Width and height of the picture in pixels."""
    turn: float = 0.0
    """Degrees to go around the scene, counter-clockwise as seen from above; 0 looks where the
    cameras look."""
    look_down: float = 23.0
    """Degrees that the view looks down: 0 along the ground, 89 from above."""

    def __post_init__(self) -> None:
        if min(self.size) < 64:
            raise ConfigError(f"size must be at least 64 x 64 pixels, got {self.size}.")
        if not np.isfinite(self.turn):
            raise ConfigError(f"turn must be a number of degrees, got {self.turn}.")
        if not abs(self.look_down) < 90:
            raise ConfigError(f"look_down must lie between -90 and 90, got {self.look_down}.")


def picture_of_keypoints(
    images: ImageFolder, features: FeatureStore, name: str, options: KeypointDrawing
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the upright photo `name` with its keypoints.

    Raises StoreError when there are no features of it, or of another size, ImageError when it
    cannot be read.
    """
    found = features[name].best(options.best)
    photo, grid = _upright(images, features, name, options.max_size)
    quality = {
        "rank": np.arange(len(found), 0, -1, dtype=np.float32),
        "score": found.scores,
        "none": np.zeros(len(found), np.float32),
    }[options.colour_by]
    radius = _dot_radius(photo.shape, len(found))
    return draw_keypoints(subdued(photo), grid.to_input(found.keypoints), quality, radius)


def _dot_radius(shape: tuple[int, ...], n_dots: int) -> float:
    """Pixels; smaller where there are more dots."""
    covering = np.sqrt(COVERED_SHARE * shape[0] * shape[1] / max(n_dots, 1) / np.pi)
    return max(SMALLEST_DOT, min(float(covering), max(shape) / LARGEST_DOTS))


def picture_of_matches(
    images: ImageFolder,
    features: FeatureStore,
    matches: Path,
    pair: tuple[str, str],
    options: MatchDrawing,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: two upright photos side by side with their matches.

    matches: match store or verified store

    Raises StoreError when the stores lack the pair or were not made from each other, ImageError
    when a photo cannot be read.
    """
    kept, title = _kept(matches, features, pair)
    indices, quality, is_wrong = kept.indices, kept.scores, np.zeros(len(kept), bool)
    if options.tentative is not None:
        every = _tentative(options.tentative, matches, features, pair)
        others = ~_among(every.indices, indices)
        indices = np.concatenate([every.indices[others], indices])
        quality = np.concatenate([every.scores[others], quality])
        is_wrong = np.arange(len(indices)) < others.sum()
        title += f", {others.sum()} dropped"
    shown = _choose(is_wrong, quality, options)
    colours = np.full((len(indices), 3), WRONG, np.uint8)
    colours[~is_wrong] = quality_colours(quality[~is_wrong])
    (photo_a, grid_a), (photo_b, grid_b) = (
        _upright(images, features, name, options.max_size) for name in pair
    )
    ends = [
        grid.to_input(_keypoints(features, name, rows))
        for name, grid, rows in zip(pair, (grid_a, grid_b), indices[shown].T, strict=True)
    ]
    text = f"{pair[0]} - {pair[1]}: {title}"
    return draw_lines(subdued(photo_a), subdued(photo_b), ends[0], ends[1], colours[shown], text)


def picture_of_model(model_dir: Path, options: ModelDrawing) -> np.ndarray:
    """(H, W, 3) uint8 RGB picture of a COLMAP model; raises ReconstructionError without one."""
    model = read_model(model_dir)
    poses, colours = list(model.poses.values()), model.points.colours
    if not colours.any():
        colours = np.full_like(colours, NO_COLOUR)
    return draw_model(
        model.points.xyz,
        colours,
        np.array([pose.centre for pose in poses]).reshape(-1, 3),
        np.array([pose.rotation for pose in poses]).reshape(-1, 3, 3),
        options.size,
        options.turn,
        options.look_down,
    )


def _kept(path: Path, features: FeatureStore, pair: tuple[str, str]) -> tuple[Matches, str]:
    """The matches of a pair, in the order asked for, and a text that counts them."""
    with MatchStore(path) as store:  # a verified store has the layout of matches
        check_origin(features, store)
        found = store[pair]
    if store_kind(path) != "verified":
        return found, f"{len(found)} matches"
    with VerifiedStore(path) as verified:
        _, swapped = verified.group(pair)
        _, n_tentative = verified.counts(pair[::-1] if swapped else pair)
    return found, f"{len(found)} verified of {n_tentative} matches"


def _tentative(
    path: Path, verified: Path, features: FeatureStore, pair: tuple[str, str]
) -> Matches:
    """The matches before verification. Raises StoreError when other ones were verified."""
    with MatchStore(path) as store, MatchStore(verified) as kept:
        check_origin(features, store)
        inputs = kept.provenance.inputs if kept.provenance and store.provenance else {}
        if inputs.get("matches", store.digest) != store.digest:
            raise StoreError(
                f"{verified} was made from other matches than {path}. Give those as --tentative."
            )
        return store[pair]


def _among(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the (M, 2) rows are one of the (K, 2) others."""
    kept = set(map(tuple, others.tolist()))
    return np.array([tuple(row) in kept for row in rows.tolist()], bool)


def _choose(is_wrong: np.ndarray, quality: np.ndarray, options: MatchDrawing) -> np.ndarray:
    """Numbers of the lines that are drawn, dropped ones first, both by their share of all."""
    parts: list[np.ndarray] = []
    n_lines = min(options.max_lines, len(quality))
    n_wrong = round(n_lines * float(is_wrong.mean())) if len(is_wrong) else 0
    rng = np.random.default_rng(options.seed)
    for rows, n in (
        (np.flatnonzero(is_wrong), n_wrong),
        (np.flatnonzero(~is_wrong), n_lines - n_wrong),
    ):
        chosen = rows if options.seed is None else rng.permutation(rows)[:n]
        parts.append(chosen[evenly(quality[chosen], n)])
    return np.concatenate(parts)


def _keypoints(features: FeatureStore, name: str, rows: np.ndarray) -> np.ndarray:
    keypoints = features.keypoints(name)
    if len(rows) and rows.max() >= len(keypoints):
        raise StoreError(
            f"The matches name keypoint {rows.max()} of `{name}`, which has {len(keypoints)} in "
            f"{features.path}. Give the features that were matched."
        )
    return np.asarray(keypoints[rows])


def _upright(
    images: ImageFolder, features: FeatureStore, name: str, max_size: int | None
) -> tuple[np.ndarray, PixelGrid]:
    """(H, W, 3) uint8 pixels of the upright photo, and how they lie in the file."""
    pixels, orientation = decode(images.path(name))
    raw_size = (pixels.shape[1], pixels.shape[0])
    width, height = features.image_size(name)
    if raw_size != (width, height):
        raise StoreError(
            f"{images.path(name)} is {raw_size[0]} x {raw_size[1]} px, its features are of "
            f"{width} x {height} px. Give the photos that were extracted."
        )
    upright = turn_upright(pixels, orientation)
    size = size_within((upright.shape[1], upright.shape[0]), max_size)
    shrunk = np.clip(resize(upright, size), 0, 1)
    return np.asarray(np.rint(shrunk * 255), np.uint8), PixelGrid(raw_size, size, orientation)


def _check_positive(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ConfigError(f"{name} must be at least 1, got {number}.")
