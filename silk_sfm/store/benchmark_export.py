"""Features and matches as the Image Matching Benchmark (2020, 2021) imports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.files import whole_file
from silk_sfm.store.features import FeatureStore
from silk_sfm.store.hdf5 import explained
from silk_sfm.store.matches import MatchStore, Pair

MAX_KEYPOINTS = 8000
DESCRIPTOR_SIZES = range(64, 2049)


def benchmark_keys(names: Iterable[str]) -> dict[str, str]:
    """The key of each image: its file name without folder and suffix.

    Raises StoreError for a name with `-`, where the benchmark cuts pairs, and for two images that
    would share a key.
    """
    keys: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in names:
        key = PurePosixPath(name).stem
        if "-" in key:
            raise StoreError(
                f"The image `{name}` has a `-` in its name, at which the benchmark cuts the names "
                "of pairs. Rename it."
            )
        if (other := owners.setdefault(key, name)) != name:
            raise StoreError(f"`{other}` and `{name}` would both be `{key}`. Rename one.")
        keys[name] = key
    return keys


def benchmark_pairs(names: Iterable[str]) -> list[Pair]:
    """Every pair once, the greater key first: the benchmark asks for all of them in this order."""
    keys = benchmark_keys(names)
    ordered = sorted(keys, key=lambda name: keys[name], reverse=True)
    return [(a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :]]


def export_benchmark(
    features: FeatureStore, matches: MatchStore, names: Iterable[str], folder: Path
) -> list[Path]:
    """Write keypoints.h5, descriptors.h5 and matches.h5 of one sequence into `folder`.

    keypoints: KEY (N, 2) float32 (x, y); descriptors: KEY (N, D) float32; matches: `KEY_A-KEY_B`
    (2, M) int64 for every pair with KEY_A > KEY_B, (2, 0) where nothing was matched

    Raises StoreError for names, numbers of keypoints or sizes of descriptors that the benchmark
    refuses, and when `folder` holds the stores themselves.
    """
    keys = benchmark_keys(names)
    _check_limits(features, keys)
    paths = [folder / f"{name}.h5" for name in ("keypoints", "descriptors", "matches")]
    if matches.path.resolve() in [path.resolve() for path in paths]:
        raise StoreError(f"{matches.path} would be written over. Choose another folder.")
    with explained(folder):
        with whole_file(paths[0]) as part, h5py.File(part, "w") as file:
            for name, key in keys.items():
                file[key] = features.keypoints(name)
        with whole_file(paths[1]) as part, h5py.File(part, "w") as file:
            for name, key in keys.items():
                file[key] = features[name].descriptors
        with whole_file(paths[2]) as part, h5py.File(part, "w") as file:
            for a, b in benchmark_pairs(keys):
                indices = matches[a, b].indices.astype(np.int64)
                file[f"{keys[a]}-{keys[b]}"] = np.ascontiguousarray(indices.T)  # (2, M)
    return paths


def _check_limits(features: FeatureStore, keys: Mapping[str, str]) -> None:
    if features.descriptor_size not in DESCRIPTOR_SIZES:
        raise StoreError(
            f"{features.path} has descriptors of {features.descriptor_size} numbers; the benchmark "
            f"takes {DESCRIPTOR_SIZES.start} to {DESCRIPTOR_SIZES.stop - 1}."
        )
    for name in keys:
        if features.count(name) > MAX_KEYPOINTS:
            raise StoreError(
                f"`{name}` has {features.count(name)} keypoints; the benchmark takes at most "
                f"{MAX_KEYPOINTS}."
            )
