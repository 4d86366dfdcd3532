"""The pictures of the page: a thumbnail of each image, and the best and worst verified pairs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.drawing import draw_matches
from silk_sfm.drawing.matches import HEADER
from silk_sfm.errors import ImageError, SilkSfmError
from silk_sfm.pixels import PixelGrid
from silk_sfm.reporting.encoding import as_base64, as_data_uri
from silk_sfm.reporting.findings import Findings, ImageFinding
from silk_sfm.reporting.photos import (
    jpeg_bytes,
    read_shrunk,
    thumbnail,
    unit_positions,
)
from silk_sfm.stages.report import Track
from silk_sfm.stages.streams import in_threads
from silk_sfm.store import FeatureStore, VerifiedStore

THUMBNAIL_BYTES = 9_000_000
"""All thumbnails together, before base64 makes a third more of them."""
KEYPOINTS = 200_000
"""Keypoints that the page shows in all images together, ..."""
MOST_KEYPOINTS = 2000
"""... and at most in one."""
PAIR_SIDE = 720
PAIR_QUALITY = 80
N_PAIRS = 3
"""Pairs with the most inliers that are shown, and as many with the fewest."""
STEPS = 65_535


@dataclass(frozen=True)
class Thumbnail:
    """A photo on the page.

    src: its data URI; size: (width, height) of the upright JPEG
    dots: (K, 2) uint16 in base64, shares of width and height in steps of 1 / 65535
    n_seeing: so many of the dots, the first ones, see a point of the model
    """

    src: str
    size: tuple[int, int]
    dots: str
    n_seeing: int


@dataclass(frozen=True)
class PairPicture:
    """Two photos with their verified matches; rank: `most` or `fewest`."""

    first: str
    second: str
    inliers: int
    tentative: int
    rank: str
    src: str


@dataclass(frozen=True)
class Pictures:
    """thumbnails: by name; n_missing: images without one."""

    thumbnails: dict[str, Thumbnail]
    n_missing: int
    pairs: tuple[PairPicture, ...]


def make_pictures(findings: Findings, track: Track) -> Pictures:
    """Read the photos. One that is missing, damaged or too many for the page is left out."""
    photos = findings.sources.photos
    if photos is None:
        return Pictures({}, len(findings.images), ())
    with ExitStack() as stack:
        path = findings.sources.features
        features = stack.enter_context(FeatureStore(path)) if path else None
        thumbnails = _thumbnails(findings, photos, features, track)
        pairs = () if features is None else _pair_pictures(findings, photos, features)
    return Pictures(thumbnails, len(findings.images) - len(thumbnails), pairs)


def _thumbnails(
    findings: Findings, photos: Path, features: FeatureStore | None, track: Track
) -> dict[str, Thumbnail]:
    images, n_threads = findings.images, os.cpu_count() or 1
    most_bytes = THUMBNAIL_BYTES // len(images)
    n_dots = min(MOST_KEYPOINTS, KEYPOINTS // len(images))

    def read(image: ImageFinding) -> tuple[bytes, PixelGrid] | None:
        return thumbnail(photos / image.name, most_bytes)

    made = {}
    small = in_threads(read, images, n_threads, 2 * n_threads)
    for image, found in track(small, "thumbnails", len(images)):
        # An unreadable photo has no thumbnail: the page counts those, and its status says why.
        if found is None or isinstance(found, SilkSfmError):
            continue
        jpeg, grid = found
        dots, n_seeing = _dots(image, features, grid, n_dots)
        made[image.name] = Thumbnail(as_data_uri(jpeg), grid.input_size, dots, n_seeing)
    return made


def _dots(
    image: ImageFinding, features: FeatureStore | None, grid: PixelGrid, most: int
) -> tuple[str, int]:
    """Evenly chosen keypoints of an image, those that see a point first, and how many do."""
    seeing = image.observed.pixels if image.observed else np.zeros((0, 2))
    others = np.zeros((0, 2))
    if features is not None and image.name in features:
        others = features.keypoints(image.name)
        if image.observed:
            rows = image.observed.rows
            others = np.delete(others, rows[rows < len(others)], axis=0)
    share = most / max(len(seeing) + len(others), most)
    chosen = [_evenly(seeing, round(share * len(seeing)))]
    chosen.append(_evenly(others, most - len(chosen[0])))
    unit = unit_positions(np.concatenate(chosen), grid)
    return as_base64(np.rint(np.clip(unit, 0, 1) * STEPS), "<u2"), len(chosen[0])


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(int)])


def _pair_pictures(
    findings: Findings, photos: Path, features: FeatureStore
) -> tuple[PairPicture, ...]:
    if findings.pairs is None or findings.sources.verified is None:
        return ()
    pairs, names = findings.pairs, findings.names
    verified = np.flatnonzero(pairs.verified)
    ranked = verified[np.argsort(-pairs.inliers[verified], kind="stable")]
    chosen = [(row, "most") for row in ranked[:N_PAIRS]]
    chosen += [(row, "fewest") for row in ranked[N_PAIRS:][-N_PAIRS:]]
    made = []
    with VerifiedStore(findings.sources.verified) as store:
        for row, rank in chosen:
            pair = names[pairs.first[row]], names[pairs.second[row]]
            try:
                jpeg = _draw_pair(photos, features, store, pair)
            except ImageError:  # a photo that is gone; its thumbnail is missing, too
                continue
            counts = int(pairs.inliers[row]), int(pairs.tentative[row])
            made.append(PairPicture(*pair, *counts, rank, as_data_uri(jpeg)))
    return tuple(made)


def _draw_pair(
    photos: Path, features: FeatureStore, store: VerifiedStore, pair: tuple[str, str]
) -> bytes:
    shrunk = [read_shrunk(photos / name, PAIR_SIDE) for name in pair]
    inliers = store[pair].inliers
    ends = [
        picture.grid.to_input(features.keypoints(name)[rows].astype(np.float64))
        for picture, name, rows in zip(shrunk, pair, inliers.indices.T, strict=True)
    ]
    picture = draw_matches(
        shrunk[0].pixels, shrunk[1].pixels, ends[0], ends[1], quality=inliers.scores
    )
    return jpeg_bytes(picture[HEADER:], PAIR_QUALITY)  # the page has the title
