"""Image names to a pair list."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import ConfigError, PairError
from silk_sfm.options import check_at_least
from silk_sfm.pair_rows import (
    PairRows,
    all_rows,
    among_rows,
    anchor_rows,
    joined_rows,
    listed_rows,
    sequential_rows,
)
from silk_sfm.pairs import PairList, list_bytes, no_pairs_text, write_rows
from silk_sfm.stages.positions import PositionUnit, locate
from silk_sfm.stages.report import Skipped
from silk_sfm.stages.retrieval import ComparedBy, Looks, similar_pairs, similar_rows
from silk_sfm.stages.spatial import near_rows
from silk_sfm.store import FeatureStore

log = logging.getLogger(__name__)

WAYS = ("exhaustive", "sequential", "spatial", "retrieval", "file")
MOST_IN_MEMORY = 50_000_000
"""Pairs that a list in memory may have: some 6 GiB."""
MANY_PAIRS = 10_000_000
"""A list of so many pairs is announced before it is written."""
NO_POSITION, NO_HEIGHT = "no GPS position", "no GPS position with altitude"


@dataclass(frozen=True)
class PairOptions:
    """Which images are matched with which."""

    pairing: str = "exhaustive"
    """exhaustive: all with all; sequential: each with the next ones by name; spatial: each with
    those taken nearby; retrieval: each with those that look most alike; file: `pair_file`. Several
    are joined by a plus: sequential+spatial+retrieval."""
    window: int = 10
    """sequential: how many of the next images each is paired with."""
    quadratic: bool = False
    """sequential: also with those 1, 2, 4, ... 2^(window - 1) images ahead."""
    loop_every: int = 0
    """sequential: close loops between every so many images; 0 closes none."""
    loop_window: int = 2
    """sequential: neighbours on both sides of each loop candidate."""
    loop_similar: int = 0
    """sequential: loop candidates are the so many images that look most alike (see `retrieval_by`),
    beyond the window; 0: all other `loop_every`-th images."""
    nearest: int = 20
    """spatial: how many of the nearest images each is paired with; 0: all within `radius_m`."""
    radius_m: float | None = None
    """spatial: only images within so many metres of each other."""
    positions: Path | None = None
    """spatial: a text file, `name latitude longitude [altitude]` a line, in place of the photos'
    EXIF."""
    position_unit: PositionUnit = "degrees"
    """spatial: what `positions` holds: degrees (WGS 84) and metres of altitude, or x y [z] in
    metres."""
    altitude: bool = False
    """spatial: count differences in altitude (or z) too; images without one are not placed."""
    similar: int = 20
    """retrieval: how many of the most similar images each is paired with."""
    retrieval_by: ComparedBy = "vocabulary"
    """retrieval: compare by COLMAP's vocabulary tree on the descriptors, by vlad (one vector an
    image made of its descriptors; for thousands of images), or by a file of vectors."""
    global_descriptors: Path | None = None
    """retrieval by file: one vector an image, in hloc's layout (global-feats-*.h5) or .npz with
    `names` and `descriptors`."""
    pair_file: Path | None = None
    """file: a list with two names a line, as hloc writes it; a tab between names with spaces."""

    def __post_init__(self) -> None:
        ways = self.ways
        for way in ways:
            if way not in WAYS:
                raise ConfigError(
                    f"No pairing `{way}`. There are: {', '.join(WAYS)}; several are joined by `+`."
                )
        if len(set(ways)) < len(ways):
            raise ConfigError(f"pairing `{self.pairing}` names one way twice.")
        if "exhaustive" in ways and len(ways) > 1:
            raise ConfigError("exhaustive has all pairs: nothing can be joined to it.")
        if ("file" in ways) != (self.pair_file is not None):
            raise ConfigError("`pairing = file` and `pair_file` go together: give both or neither.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if self.window < 1 or self.loop_every < 0 or self.loop_window < 0:
            raise ConfigError("window must be at least 1, loop_every and loop_window at least 0.")
        check_at_least("similar", self.similar, 1)
        if self.loop_similar < 0 or self.nearest < 0:
            raise ConfigError("loop_similar and nearest must be at least 0.")
        if self.loop_similar and not self.loop_every:
            raise ConfigError("loop_similar needs loop_every: which images look for a loop.")
        if self.radius_m is not None and not 0 < self.radius_m < float("inf"):
            raise ConfigError(f"radius_m must be above 0 m, got {self.radius_m}.")
        if self.nearest == 0 and self.radius_m is None:
            raise ConfigError("nearest = 0 takes all images within radius_m: give one of the two.")
        if (self.retrieval_by == "file") != (self.global_descriptors is not None):
            raise ConfigError(
                "`retrieval_by = file` and `global_descriptors` go together: give both or neither."
            )

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways of pairing that are joined."""
        return tuple(self.pairing.split("+"))


@dataclass(frozen=True, eq=False)
class ImageSource:
    """What is known of the images that are paired, in the order of their names.

    features: for retrieval; image_dir: photos, for GPS in their EXIF; None where there are none
    """

    names: Sequence[str]
    features: FeatureStore | None = None
    image_dir: Path | None = None


@dataclass(frozen=True)
class PairsWritten:
    """How many pairs a list got, and which images could not be paired."""

    n_pairs: int
    skipped: tuple[Skipped, ...]


def make_pairs(
    names: Sequence[str],
    options: PairOptions,
    features: FeatureStore | None = None,
    image_dir: Path | None = None,
) -> PairList:
    """Pair the images `names`; retrieval needs their `features`, spatial pairing their photos.

    Raises PairError when a list names others, when nothing is paired, when features or positions
    are missing, or when there are too many pairs for a list in memory.
    """
    if options.ways == ("file",) and options.pair_file is not None:
        pairs = PairList.read(options.pair_file, known=frozenset(names))
        return _not_empty(pairs, names)
    rows, _ = choose_rows(ImageSource(names, features, image_dir), options)
    if rows.most_pairs > MOST_IN_MEMORY:
        raise PairError(
            f"{options.pairing} pairing of {len(names)} images gives {rows.most_pairs} pairs, too "
            f"many for a list in memory. Choose sequential, spatial or retrieval pairs."
        )
    return _not_empty(PairList.of_rows(names, rows), names)


def _not_empty(pairs: PairList, names: Sequence[str]) -> PairList:
    if not pairs:
        raise PairError(no_pairs_text(names))
    return pairs


def write_pairs(path: Path, source: ImageSource, options: PairOptions) -> PairsWritten:
    """Write the pair list of `source` row by row: as many pairs as the disk has room for.

    Raises what `make_pairs` raises but for the memory, PairError when the disk is too small, and
    PairError when no pair was found.
    """
    names = source.names
    if options.ways == ("file",):
        pairs = make_pairs(names, options)
        pairs.write(path)
        return PairsWritten(len(pairs), ())
    rows, placeless = choose_rows(source, options)
    _announce(path, names, rows)
    n_pairs = write_rows(path, names, rows)
    alone = options.ways == ("spatial",)  # else they are paired in another way
    why = NO_HEIGHT if options.altitude else NO_POSITION
    return PairsWritten(n_pairs, tuple(Skipped(n, why) for n in placeless if alone))


def _announce(path: Path, names: Sequence[str], rows: PairRows) -> None:
    """Say how long a huge list will be. Raises PairError when the disk has no room for it."""
    n_bytes = list_bytes(names, rows.most_pairs)
    if rows.most_pairs < MANY_PAIRS:
        return
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    size = f"up to {rows.most_pairs} pairs of {len(names)} images, about {n_bytes / 1e9:.1f} GB"
    if n_bytes > free:
        raise PairError(
            f"The list would hold {size}; {folder} has {free / 1e9:.1f} GB left. Choose "
            "sequential, spatial or retrieval pairs, or another disk."
        )
    log.warning("%s: %s", path, size)


def choose_rows(source: ImageSource, options: PairOptions) -> tuple[PairRows, list[str]]:
    """The pairs of all ways in `options`, and the images without a position if there are any."""
    parts: list[PairRows] = []
    placeless: list[str] = []
    n_images = len(source.names)
    for way in options.ways:
        if way == "exhaustive":
            parts.append(all_rows(n_images))
        elif way == "sequential":
            parts += _sequential(source, options)
        elif way == "spatial":
            found = locate(
                source.names,
                source.image_dir,
                options.positions,
                options.position_unit,
                options.altitude,
            )
            placeless = found.placeless
            near = near_rows(found.points, options.nearest, options.radius_m)
            parts.append(among_rows(near, found.numbers, n_images))
        elif way == "retrieval":
            parts.append(similar_rows(source.names, _looks(source, options), options.similar))
        else:
            parts.append(_listed(source.names, options))
    return joined_rows(parts), placeless


def _sequential(source: ImageSource, options: PairOptions) -> list[PairRows]:
    n_images = len(source.names)
    parts = [sequential_rows(n_images, options.window, options.quadratic)]
    if options.loop_similar:
        asked = range(0, n_images, options.loop_every)
        looks = _looks(source, options)
        loops = similar_pairs(source.names, looks, options.loop_similar, asked, options.window)
        parts.append(listed_rows(n_images, _with_neighbours(loops, options.loop_window, n_images)))
    elif options.loop_every:
        parts.append(anchor_rows(n_images, options.loop_every, options.loop_window))
    return parts


def _with_neighbours(pairs: np.ndarray, beside: int, n_images: int) -> np.ndarray:
    """(M, 2) pairs (i, j) with those of i and the images up to `beside` places from j."""
    steps = np.arange(-beside, beside + 1)
    moved = pairs[:, None] + np.stack([np.zeros_like(steps), steps], axis=1)  # (M, S, 2)
    near = moved.reshape(-1, 2)
    return np.asarray(near[((near >= 0) & (near < n_images)).all(axis=1)])


def _looks(source: ImageSource, options: PairOptions) -> Looks:
    return Looks(options.retrieval_by, source.features, options.global_descriptors)


def _listed(names: Sequence[str], options: PairOptions) -> PairRows:
    place = {name: index for index, name in enumerate(names)}
    if options.pair_file is None:
        raise PairError("Pairs from a file need `pair_file`.")
    pairs = PairList.read(options.pair_file, known=place.keys())
    return listed_rows(len(names), np.array([(place[a], place[b]) for a, b in pairs], np.int64))
