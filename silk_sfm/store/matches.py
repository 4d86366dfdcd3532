"""Matches of many pairs in one file, in hloc's layout.

A group `/name0/name1` per pair, `/` in a name written as `-`, with `matches0` (N0,) int32 (index of
the matched keypoint of image 1, or -1) and `matching_scores0` (N0,) float16.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.features import Matches
from silk_sfm.store.hdf5 import Closing, LinkedFile
from silk_sfm.store.provenance import Provenance, store_digest
from silk_sfm.store.shards import ShardWriter

Pair = tuple[str, str]
Value = TypeVar("Value")


def pair_key(pair: Pair) -> str:
    """The group of a pair."""
    a, b = (name.replace("/", "-") for name in pair)
    return f"{a}/{b}"


def check_collisions(pairs: Iterable[Pair]) -> None:
    """Raises StoreError when two pairs would be written to the same group."""
    seen: dict[str, Pair] = {}
    for pair in pairs:
        first = seen.setdefault(pair_key(pair), pair)
        if first != pair:
            raise StoreError(
                f"The pairs `{first[0]}` `{first[1]}` and `{pair[0]}` `{pair[1]}` would share one "
                f"group in a match store, because `/` is written as `-`. Rename an image."
            )


class PairReader(Closing):
    """Finds the groups of pairs; base of the readers of matches and of verified matches."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError when the file is missing or damaged."""
        self.path = path
        self._linked = LinkedFile(path)
        self.provenance = Provenance.read(self._linked.file, path)

    def close(self) -> None:
        """Close the file."""
        self._linked.close()

    def __len__(self) -> int:
        return sum(1 for _ in pair_keys(self._linked.file))

    def __contains__(self, pair: Pair) -> bool:
        return self._find(pair) is not None

    def pairs(self, names: Iterable[str]) -> list[Pair]:
        """The pairs of the store, by the image names behind them, sorted.

        Of a pair that is there in both orders only the first one counts, as in hloc.

        Raises StoreError when a pair names an image that is not among `names`, or could mean two.
        """
        by_key: dict[str, str] = {}
        for name in names:
            other = by_key.setdefault(name.replace("/", "-"), name)
            if other != name:
                raise StoreError(
                    f"`{other}` and `{name}` have one name in {self.path}. Rename one."
                )
        found = sorted(self._names_of(key, by_key) for key in pair_keys(self._linked.file))
        first_met = {frozenset(pair): pair for pair in reversed(found)}
        return [pair for pair in found if first_met[frozenset(pair)] == pair]

    def group(self, pair: Pair) -> tuple[h5py.Group, bool]:
        """The group of a pair, and whether it holds the pair in the other order.

        Raises StoreError when the store does not hold the pair.
        """
        found = self._find(pair)
        if found is None:
            raise StoreError(f"{self.path} holds no pair `{pair[0]}` `{pair[1]}`.")
        key, swapped = found
        return self._linked.group(key), swapped

    def groups(self) -> Iterator[h5py.Group]:
        """The group of every pair."""
        return map(self._linked.group, pair_keys(self._linked.file))

    @property
    def digest(self) -> str:
        """Names these matches for the stores made from them; see `store_digest`."""
        return store_digest(self._linked.file, self.path)

    def _find(self, pair: Pair) -> tuple[str, bool] | None:
        """The key of a pair, as hloc looks for it: today's naming, then the old one, both ways."""
        for key_of in (pair_key, old_pair_key):
            for candidate, swapped in ((pair, False), (pair[::-1], True)):
                if self._linked.file.get(key_of(candidate), getlink=True) is not None:
                    return key_of(candidate), swapped
        return None

    def _names_of(self, key: str, by_key: dict[str, str]) -> Pair:
        separator = "/" if "/" in key else "_"
        parts = key.split(separator)
        cuts = [
            (separator.join(parts[:i]), separator.join(parts[i:])) for i in range(1, len(parts))
        ]
        fitting = [(by_key[a], by_key[b]) for a, b in cuts if a in by_key and b in by_key]
        if len(fitting) != 1:
            raise StoreError(
                f"{self.path} has the pair `{key}`, not of two images with features. "
                "Give the feature store from which it was made."
            )
        return fitting[0]


class MatchStore(PairReader):
    """Reads matches, from our own stores and from those of hloc."""

    def __getitem__(self, pair: Pair) -> Matches:
        """The matches of a pair, in the order asked for. Raises StoreError when there are none."""
        group, swapped = self.group(pair)
        matches = decode_matches(group)
        return _swap(matches) if swapped else matches

    def values(self) -> Iterator[Matches]:
        """The matches of every pair, each in its stored order."""
        return map(decode_matches, self.groups())


class PairWriter(ShardWriter[tuple[Value, int]]):
    """Adds something per pair to a store; a subclass says how it is written (`_encode`)."""

    @abstractmethod
    def _encode(self, group: h5py.Group, value: Value, n_keypoints: int) -> None:
        """Write the value of a pair whose first image has `n_keypoints` keypoints."""

    def has_pair(self, pair: Pair) -> bool:
        """Is the pair in the store, in either order, on disk or about to be?"""
        return pair_key(pair) in self or pair_key(pair[::-1]) in self

    def add_pair(self, pair: Pair, value: Value, n_keypoints: int) -> None:
        """Add the value of a pair whose first image has `n_keypoints` keypoints."""
        self.add(pair_key(pair), (value, n_keypoints))

    def _fill(self, file: h5py.File, key: str, value: tuple[Value, int]) -> None:
        self._encode(file.create_group(key), *value)

    def _link(self, index: h5py.File, key: str, shard: str, source: h5py.File) -> None:
        first, _, second = key.rpartition("/")
        group = index.require_group(first)  # made implicitly, it would hold the time of day
        group[second] = h5py.ExternalLink(shard, f"/{key}")

    def _keys(self, file: h5py.File) -> Iterator[str]:
        return pair_keys(file)


class MatchWriter(PairWriter[Matches]):
    """Adds matches to a store."""

    def _encode(self, group: h5py.Group, value: Matches, n_keypoints: int) -> None:
        encode_matches(group, value, n_keypoints)


def old_pair_key(pair: Pair) -> str:
    """The group of a pair in files of early hloc versions."""
    return "_".join(name.replace("/", "-") for name in pair)


def _swap(matches: Matches) -> Matches:
    order = np.argsort(matches.indices[:, 1], kind="stable")
    return Matches(np.ascontiguousarray(matches.indices[order, ::-1]), matches.scores[order])


def encode_matches(group: h5py.Group, matches: Matches, n_keypoints: int) -> None:
    """Write matches as hloc does, one entry per keypoint of the first image."""
    matches0 = np.full(n_keypoints, -1, np.int32)
    scores0 = np.zeros(n_keypoints, np.float16)
    matches0[matches.indices[:, 0]] = matches.indices[:, 1]
    scores0[matches.indices[:, 0]] = matches.scores
    small = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if n_keypoints else {}
    group.create_dataset("matches0", data=matches0, **small)
    group.create_dataset("matching_scores0", data=scores0, **small)


def decode_matches(group: h5py.Group) -> Matches:
    """Read what `encode_matches` or hloc wrote, sorted by the keypoint of the first image."""
    matches0 = group["matches0"][()]
    rows = np.flatnonzero(matches0 > -1)
    indices = np.stack([rows, matches0[rows]], axis=1).astype(np.int32)
    return Matches(indices, group["matching_scores0"][()][rows].astype(np.float32))


def pair_keys(file: h5py.File) -> Iterator[str]:
    """`name0/name1` of every pair; `name0_name1` where an early hloc wrote it."""
    for first in file:
        if file.get(f"{first}/matches0", getlink=True) is not None:
            yield first
        elif isinstance(file[first], h5py.Group):
            yield from (f"{first}/{second}" for second in file[first])
