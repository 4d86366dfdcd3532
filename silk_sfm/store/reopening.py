"""hloc's way with HDF5 files, as the peer in a comparison: the file is opened for each entry.

As documented in and seen from hloc 1.5: arrays in float16 and int16, not compressed, `libver`
`latest`, no care for crashes.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.store.matches import Pair, pair_key


def write_features_reopening(path: Path, name: str, features: LocalFeatures) -> None:
    """Add the features of one image."""
    with h5py.File(path, "a", libver="latest") as file:
        if name in file:
            del file[name]
        group = file.create_group(name)
        group.create_dataset("keypoints", data=features.keypoints.astype(np.float16))
        group.create_dataset("scores", data=features.scores.astype(np.float16))
        group.create_dataset("descriptors", data=features.descriptors.T.astype(np.float16))
        group.create_dataset("image_size", data=np.array(features.image_size))
        group["keypoints"].attrs["uncertainty"] = features.uncertainty


def read_features_reopening(path: Path, name: str) -> dict[str, np.ndarray]:
    """All arrays of one image as float32, descriptors (D, N)."""
    with h5py.File(path, "r", libver="latest") as file:
        return {key: array.__array__().astype(np.float32) for key, array in file[name].items()}


def write_matches_reopening(path: Path, pair: Pair, matches: Matches, n_keypoints: int) -> None:
    """Add the matches of one pair."""
    matches0 = np.full(n_keypoints, -1, np.int16)
    scores0 = np.zeros(n_keypoints, np.float16)
    matches0[matches.indices[:, 0]] = matches.indices[:, 1]
    scores0[matches.indices[:, 0]] = matches.scores
    with h5py.File(path, "a", libver="latest") as file:
        if pair_key(pair) in file:
            del file[pair_key(pair)]
        group = file.create_group(pair_key(pair))
        group.create_dataset("matches0", data=matches0)
        group.create_dataset("matching_scores0", data=scores0)


def read_matches_reopening(path: Path, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(M, 2) indices and (M,) scores of one pair."""
    with h5py.File(path, "r", libver="latest") as file:
        group = file[pair_key(pair)]
        matches0 = group["matches0"].__array__()
        scores0 = group["matching_scores0"].__array__()
    rows = np.flatnonzero(matches0 != -1)
    return np.stack([rows, matches0[rows]], axis=-1), scores0[rows]


def list_images_reopening(path: Path) -> list[str]:
    """Names of all images: the parents of all datasets."""
    names: set[str] = set()

    def visit(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            names.add(item.parent.name.strip("/"))

    with h5py.File(path, "r", libver="latest") as file:
        file.visititems(visit)
    return sorted(names)
