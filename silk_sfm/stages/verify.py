"""Matches to two-view geometries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from silk_sfm.colmap.assignment import known_cameras
from silk_sfm.colmap.cameras import Camera, mean_focal, rays
from silk_sfm.colmap.intrinsics import intrinsics_digest
from silk_sfm.errors import ConfigError, SilkSfmError, StoreError
from silk_sfm.features import Matches, TwoViewGeometry
from silk_sfm.options import neutral, result_options
from silk_sfm.pairs import PairList
from silk_sfm.plugins import Correspondences, Verifier
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.origin import check_origin
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.stages.streams import in_threads
from silk_sfm.store import FeatureStore, MatchStore, Provenance, VerifiedWriter

Pair = tuple[str, str]


@dataclass(frozen=True)
class VerificationOptions:
    """How verification is run."""

    seed: int = 0
    """Of the random sampling; results depend on it, not on the number of threads."""
    threads: int = neutral(0)
    """How many pairs are verified at a time; 0 takes all cores."""

    def __post_init__(self) -> None:
        if self.threads < 0 or self.seed < 0:
            raise ConfigError("seed and threads must not be negative.")


def trusted_cameras(features: FeatureStore, intrinsics: Path | None) -> dict[str, Camera]:
    """The camera of each image when the intrinsics are known; none otherwise."""
    if intrinsics is None:
        return {}
    sizes = {name: features.image_size(name) for name in features.names}
    return known_cameras(sizes, intrinsics).by_name


def verification_provenance(
    verifier: Chosen,
    options: VerificationOptions,
    features: FeatureStore,
    matches: MatchStore,
    intrinsics: Path | None,
) -> Provenance:
    """What decides the content of a verified store.

    Raises StoreError when the matches were made from other features.
    """
    check_origin(features, matches)
    inputs = {"features": features.digest, "matches": matches.digest}
    if intrinsics is not None:
        inputs["intrinsics"] = intrinsics_digest(intrinsics)
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
    """
    pairs = matches.pairs(features.names)
    pairs = pairs if chosen is None else chosen.among(pairs)
    todo = [pair for pair in pairs if not store.has_pair(pair)]
    tentative = (_read_pair(pair, features, matches, cameras) for pair in todo)
    n_threads = options.threads or os.cpu_count() or 1
    work = partial(_verify_pair, verifier=verifier, seed=options.seed)
    results = in_threads(work, tentative, n_threads, ahead=4 * n_threads)
    found = 0
    for item, geometry in track(results, "pairs", len(todo)):
        if isinstance(geometry, SilkSfmError):
            raise geometry
        found += len(geometry.inliers)
        store.add_pair(item.pair, geometry, features.count(item.pair[0]))
    return StageReport("verify", "pairs", len(todo), len(pairs) - len(todo), found, "inliers")


@dataclass(frozen=True, eq=False)
class _Tentative:
    """A pair as it goes to a thread: stores are read by the main thread alone."""

    pair: Pair
    points: Correspondences
    matches: Matches


def _verify_pair(item: _Tentative, verifier: Verifier, seed: int) -> TwoViewGeometry:
    return verifier(item.points, item.matches, pair_seed(seed, item.pair))


def _read_pair(
    pair: Pair, features: FeatureStore, store: MatchStore, cameras: Mapping[str, Camera]
) -> _Tentative:
    a, b = pair
    matches = store[pair]
    _check_indices(pair, matches, features, store)
    pixels_a = features.keypoints(a)[matches.indices[:, 0]]
    pixels_b = features.keypoints(b)[matches.indices[:, 1]]
    points = Correspondences(
        pixels_a=pixels_a.astype(np.float64),
        pixels_b=pixels_b.astype(np.float64),
        noise_px=(features.uncertainty(a) + features.uncertainty(b)) / 2,
    )
    if a in cameras and b in cameras:
        points = replace(
            points,
            rays_a=rays(cameras[a], pixels_a),
            rays_b=rays(cameras[b], pixels_b),
            focal_px=(mean_focal(cameras[a]) + mean_focal(cameras[b])) / 2,
        )
    return _Tentative(pair, points, matches)


def _check_indices(pair: Pair, matches: Matches, features: FeatureStore, store: MatchStore) -> None:
    for name, indices in zip(pair, matches.indices.T, strict=True):
        if len(indices) and indices.max() >= features.count(name):
            raise StoreError(
                f"{store.path}: the matches of `{pair[0]}` and `{pair[1]}` name keypoint "
                f"{indices.max()} of `{name}`, {features.path} holds {features.count(name)} of it. "
                "Give the feature store from which they were made."
            )


def pair_seed(seed: int, pair: Pair) -> int:
    """A seed of 31 bits that depends on the pair alone, not on the order of work."""
    digest = hashlib.sha256(f"{seed}\n{pair[0]}\n{pair[1]}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
