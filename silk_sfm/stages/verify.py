"""Matches to two-view geometries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from silk_sfm.colmap.assignment import assign_known
from silk_sfm.colmap.cameras import Camera, mean_focal, rays
from silk_sfm.colmap.intrinsics import read_intrinsics
from silk_sfm.errors import SilkSfmError, StoreError
from silk_sfm.features import Matches, TwoViewGeometry
from silk_sfm.options import check_at_least, neutral, result_options
from silk_sfm.pairs import PairList
from silk_sfm.plugins import Correspondences, Verifier
from silk_sfm.stages.blocks import Pair, Upcoming, in_blocks, memory_limit
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.origin import check_origin
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.stages.streams import WriteBehind, in_threads
from silk_sfm.store import FeatureStore, MatchStore, Provenance, VerifiedWriter, pair_key

BYTES_PER_KEYPOINT = 24
"""Pixels in float32, rays in float64."""


@dataclass(frozen=True)
class VerificationOptions:
    """How verification is run."""

    seed: int = 0
    """Of the random sampling; results depend on it, not on the number of threads."""
    threads: int = neutral(0)
    """How many pairs are verified at a time; 0 takes all cores."""
    memory_gb: float = neutral(1.0)
    """Keypoints kept in memory at most, in GiB. With less, they are read more often."""

    def __post_init__(self) -> None:
        for name in ("seed", "threads"):
            check_at_least(name, getattr(self, name), 0)
        memory_limit(self.memory_gb)


@dataclass(frozen=True)
class TrustedCameras:
    """Cameras whose intrinsics are known, by image name; `digest` names them, empty without any."""

    by_name: Mapping[str, Camera]
    digest: str


def trusted_cameras(features: FeatureStore, intrinsics: Path | None) -> TrustedCameras:
    """The camera of each image when the intrinsics are known; none otherwise."""
    if intrinsics is None:
        return TrustedCameras({}, "")
    known = read_intrinsics(intrinsics)
    sizes = {name: features.image_size(name) for name in features.names}
    return TrustedCameras(assign_known(sizes, known, intrinsics).by_name, known.digest)


def verification_provenance(
    verifier: Chosen,
    options: VerificationOptions,
    features: FeatureStore,
    matches: MatchStore,
    cameras: TrustedCameras,
) -> Provenance:
    """What decides the content of a verified store.

    Raises StoreError when the matches were made from other features.
    """
    check_origin(features, matches)
    inputs = {"features": features.digest, "matches": matches.digest}
    if cameras.digest:
        inputs["intrinsics"] = cameras.digest
    values = {**result_options(verifier.options), **result_options(options)}
    return Provenance(verifier.name, values, inputs)


def verify(
    features: FeatureStore,
    matches: MatchStore,
    verifier: Verifier,
    store: VerifiedWriter,
    options: VerificationOptions,
    cameras: Mapping[str, Camera],
    track: Track = silent,
    chosen: PairList | None = None,
) -> StageReport:
    """Verify every pair of the match store that is not yet in the verified store.

    cameras: of each image whose intrinsics are trusted; a pair without them gets a fundamental
        matrix.
    chosen: only these pairs; all of the match store without it

    Raises StoreError that names the pair which could not be verified.
    """
    pairs = matches.pairs(features.names)
    pairs = pairs if chosen is None else chosen.among(pairs)
    return verify_block(pairs, features, matches, verifier, store, options, cameras, track)


def verify_block(
    pairs: Sequence[Pair],
    features: FeatureStore,
    matches: MatchStore,
    verifier: Verifier,
    store: VerifiedWriter,
    options: VerificationOptions,
    cameras: Mapping[str, Camera],
    track: Track = silent,
) -> StageReport:
    """`verify` for these pairs of the match store."""
    todo = [pair for pair in pairs if not store.has_pair(pair)]
    n_threads = options.threads or os.cpu_count() or 1
    work = partial(_verify_pair, verifier=verifier, seed=options.seed)
    tentative = _tentative(todo, features, matches, cameras, memory_limit(options.memory_gb))
    results = in_threads(work, tentative, n_threads, ahead=4 * n_threads)
    found = 0
    with WriteBehind[tuple[TwoViewGeometry, int]](store) as behind:
        for item, geometry in track(results, "pairs", len(todo)):
            if isinstance(geometry, SilkSfmError):
                a, b = item.pair
                raise StoreError(f"{matches.path}: `{a}` and `{b}`: {geometry}") from geometry
            found += len(geometry.inliers)
            behind.add(pair_key(item.pair), (geometry, item.n_keypoints))
    return StageReport("verify", "pairs", len(todo), len(pairs) - len(todo), found, "inliers")


@dataclass(frozen=True, eq=False)
class _Places:
    """The keypoints of an image.

    pixels: (N, 2) float32; rays: (N, 2) float64, None unless its camera is trusted
    """

    pixels: np.ndarray
    uncertainty: float
    camera: Camera | None
    rays: np.ndarray | None

    @property
    def n_bytes(self) -> int:
        """Bytes in memory."""
        return self.pixels.nbytes + (0 if self.rays is None else self.rays.nbytes)


@dataclass(frozen=True, eq=False)
class _Tentative:
    """A pair as it goes to a thread: stores are read by the main thread alone."""

    pair: Pair
    points: Correspondences
    matches: Matches
    n_keypoints: int


def _verify_pair(item: _Tentative, verifier: Verifier, seed: int) -> TwoViewGeometry:
    return verifier(item.points, item.matches, pair_seed(seed, item.pair))


def _tentative(
    pairs: Sequence[Pair],
    features: FeatureStore,
    store: MatchStore,
    cameras: Mapping[str, Camera],
    limit: int,
) -> Iterator[_Tentative]:
    """The pairs in the order of `in_blocks`; the keypoints of an image are read once a block."""

    def read(name: str) -> _Places:
        pixels, uncertainty = features.positions(name)
        camera = cameras.get(name)
        seen = None if camera is None else rays(camera, pixels)
        return _Places(pixels, uncertainty, camera, seen)

    sizes = {name: features.count(name) * BYTES_PER_KEYPOINT for pair in pairs for name in pair}
    ordered = in_blocks(pairs, sizes, limit)
    uses = (name for pair in ordered for name in pair)
    upcoming = Upcoming(uses, read, lambda places: places.n_bytes, limit)
    for pair in ordered:
        a, b = upcoming.take(pair[0]), upcoming.take(pair[1])
        matches = store[pair]
        _check_indices(pair, (a, b), matches, features, store)
        yield _Tentative(pair, _correspondences(a, b, matches), matches, len(a.pixels))


def _correspondences(a: _Places, b: _Places, matches: Matches) -> Correspondences:
    rows_a, rows_b = matches.indices.T
    points = Correspondences(
        pixels_a=a.pixels[rows_a].astype(np.float64),
        pixels_b=b.pixels[rows_b].astype(np.float64),
        noise_px=(a.uncertainty + b.uncertainty) / 2,
    )
    if a.camera is None or b.camera is None or a.rays is None or b.rays is None:
        return points
    return replace(
        points,
        rays_a=a.rays[rows_a],
        rays_b=b.rays[rows_b],
        focal_px=(mean_focal(a.camera) + mean_focal(b.camera)) / 2,
    )


def _check_indices(
    pair: Pair,
    places: tuple[_Places, _Places],
    matches: Matches,
    features: FeatureStore,
    store: MatchStore,
) -> None:
    for name, there, indices in zip(pair, places, matches.indices.T, strict=True):
        if len(indices) and indices.max() >= len(there.pixels):
            raise StoreError(
                f"{store.path}: the matches of `{pair[0]}` and `{pair[1]}` name keypoint "
                f"{indices.max()} of `{name}`, {features.path} holds {len(there.pixels)} of it. "
                "Give the feature store from which they were made."
            )


def pair_seed(seed: int, pair: Pair) -> int:
    """A seed of 31 bits that depends on the pair alone, not on the order of work."""
    digest = hashlib.sha256(f"{seed}\n{pair[0]}\n{pair[1]}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
