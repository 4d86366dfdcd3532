"""Stores beside hloc's way, where the file is opened anew for each entry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import combinations, count, islice
from pathlib import Path

import numpy as np

from silk_sfm.benchmarking.figures import Figure, Number, Scope, rate, seconds
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.store import FeatureStore, FeatureWriter, MatchStore, MatchWriter, Provenance
from silk_sfm.store import reopening as peer

MADE = Provenance("benchmark", {}, {})
HLOC = "hloc's way: the file opened for each entry"
N_KEYPOINTS, SIZE = 256, 128
N_MATCHED = 86
SYNCED = "our writing waits until the data are on the disk (fsync), the baseline's does not"
N_ADDED = 100


def figures(scope: Scope) -> Iterator[Figure]:
    """Writing and reading 1,000 and 10,000 images, then 10,000 and 100,000 pairs."""
    counts = ((100, 500), (300, 1_500)) if scope.quick else ((1_000, 10_000), (10_000, 100_000))
    for n_images, _ in counts:
        yield from _image_figures(scope.folder / f"{n_images}", n_images)
    for _, n_pairs in counts:
        yield from _pair_figures(scope.folder / f"{n_pairs}", n_pairs)


def _image_figures(folder: Path, n: int) -> Iterator[Figure]:
    names = [f"camera {i % 8}/{i:06d}.jpg" for i in range(n)]
    features = some_features(N_KEYPOINTS)
    ours, theirs = Fresh(folder / "ours"), Fresh(folder / "hloc")

    def read() -> None:
        with FeatureStore(ours.path) as store:
            for name in names:
                store[name]

    def read_peer() -> None:
        for name in names:
            peer.read_features_reopening(theirs.path, name)

    rounds, peer_rounds = count(), count()

    def add() -> None:
        write_features(ours.path, _later(next(rounds)), features)

    def add_peer() -> None:
        there = set(peer.list_images_reopening(theirs.path))  # to pass over what is done
        new = [name for name in _later(next(peer_rounds)) if name not in there]
        _write_peer_features(theirs.path, new, features)

    yield Figure(
        f"write {n} images",
        "images/s",
        rate(lambda: write_features(ours.anew(), names, features), n),
        rate(lambda: _write_peer_features(theirs.anew(), names, features), n),
        HLOC,
        more_is_better=True,
        max_repeats=3,
        note=f"{N_KEYPOINTS} keypoints, {SIZE} dimensions; {SYNCED}",
    )
    _let_the_disk_come_to_rest()
    yield Figure(f"read {n} images", "images/s", rate(read, n), rate(read_peer, n), HLOC, True, 3)
    yield Figure(
        f"open a store of {n} images and list them",
        "s",
        seconds(lambda: FeatureStore(ours.path).close()),
        seconds(lambda: peer.list_images_reopening(theirs.path)),
        HLOC,
    )
    yield Figure(f"size of {n} images", "MB", ours.megabytes, theirs.megabytes, HLOC, False, 1)
    _let_the_disk_come_to_rest()
    yield Figure(
        f"add {N_ADDED} images to {n}",
        "s",
        seconds(add),
        seconds(add_peer),
        f"{HLOC}, after listing what is there",
        max_repeats=3,
        note=SYNCED,
    )


def _later(number: int) -> list[str]:
    return [f"later {number}/{i:06d}.jpg" for i in range(N_ADDED)]


def _let_the_disk_come_to_rest() -> None:
    """What was written before would slow down the first to read, or to call fsync."""
    if hasattr(os, "sync"):  # not on Windows
        os.sync()


def _pair_figures(folder: Path, n: int) -> Iterator[Figure]:
    n_images = int((2 * n) ** 0.5) + 2
    pairs = list(islice(combinations([f"{i:06d}.jpg" for i in range(n_images)], 2), n))
    matches = some_matches(N_MATCHED, N_KEYPOINTS)
    ours, theirs = Fresh(folder / "ours"), Fresh(folder / "hloc")

    def read() -> None:
        with MatchStore(ours.path) as store:
            for pair in pairs:
                store[pair]

    def write_peer() -> None:
        path = theirs.anew()
        for pair in pairs:
            peer.write_matches_reopening(path, pair, matches, N_KEYPOINTS)

    def read_peer() -> None:
        for pair in pairs:
            peer.read_matches_reopening(theirs.path, pair)

    def write() -> None:
        with MatchWriter(ours.anew(), MADE) as store:
            for pair in pairs:
                store.add_pair(pair, matches, N_KEYPOINTS)

    repeats = 1 if n > 50_000 else 3
    yield Figure(
        f"write {n} pairs",
        "pairs/s",
        rate(write, n),
        rate(write_peer, n),
        HLOC,
        more_is_better=True,
        max_repeats=repeats,
        note=f"{N_KEYPOINTS} keypoints, {N_MATCHED} matches; ours are compressed; {SYNCED}",
    )
    _let_the_disk_come_to_rest()
    yield Figure(
        f"read {n} pairs", "pairs/s", rate(read, n), rate(read_peer, n), HLOC, True, repeats
    )
    yield Figure(f"size of {n} pairs", "MB", ours.megabytes, theirs.megabytes, HLOC, False, 1)


class Fresh:
    """A store below a folder, which can be made anew as often as needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._n_made = 0

    @property
    def path(self) -> Path:
        """The store that was made last."""
        return self.folder / f"{self._n_made}.h5"

    def anew(self) -> Path:
        """Remove the store; returns where the next one is to be."""
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                file.unlink()
        self._n_made += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.path

    @property
    def megabytes(self) -> Number:
        """Measures the size of all files of the store."""
        return lambda: sum(f.stat().st_size for f in self.folder.rglob("*.h5")) / 2**20


def write_features(path: Path, names: Sequence[str], features: LocalFeatures) -> None:
    """Write the same features for every name, with our store."""
    with FeatureWriter(path, MADE) as store:
        for name in names:
            store.add(name, features)


def _write_peer_features(path: Path, names: Sequence[str], features: LocalFeatures) -> None:
    for name in names:
        peer.write_features_reopening(path, name, features)


def some_features(n_keypoints: int, seed: int = 0) -> LocalFeatures:
    """Random keypoints with random unit descriptors."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(n_keypoints, SIZE)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(
        keypoints=rng.uniform(0, 1000, (n_keypoints, 2)).astype(np.float32),
        scores=rng.uniform(size=n_keypoints).astype(np.float32),
        descriptors=descriptors,
        image_size=(1600, 1200),
    )


def some_matches(n_matches: int, n_keypoints: int, seed: int = 0) -> Matches:
    """Random matches, each keypoint in at most one."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(n_keypoints)[:n_matches])
    indices = np.stack([rows, rng.permutation(n_keypoints)[:n_matches]], axis=1)
    return Matches(indices.astype(np.int32), rng.uniform(0.3, 1, n_matches).astype(np.float32))
