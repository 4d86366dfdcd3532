"""Matches of many pairs in one file, in hloc's layout.

A group `/name0/name1` per pair, `/` in a name written as `-`, with `matches0` (N0,) int32 (index of
the matched keypoint of image 1, or -1) and `matching_scores0` (N0,) float16.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from h5py import h5g

from silk_sfm.errors import StoreError
from silk_sfm.features import Matches
from silk_sfm.store.arrays import (
    INT32,
    add_external_link,
    has_link,
    is_external,
    is_group,
    member_names,
    open_group,
    read_array,
    require_group,
    write_compressed,
)
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
        return sum(1 for _ in pair_keys(self._linked.root))

    def __contains__(self, pair: Pair) -> bool:
        return any(self._open(key) is not None for key, _ in _places(pair))

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
        found = sorted(self._names_of(key, by_key) for key in pair_keys(self._linked.root))
        first_met = {frozenset(pair): pair for pair in reversed(found)}
        return [pair for pair in found if first_met[frozenset(pair)] == pair]

    def group(self, pair: Pair) -> tuple[h5g.GroupID, bool]:
        """The group of a pair, and whether it holds the pair in the other order.

        Raises StoreError when the store does not hold the pair.
        """
        for key, swapped in _places(pair):
            group = self._open(key)
            if group is not None:
                return group, swapped
        raise StoreError(f"{self.path} holds no pair `{pair[0]}` `{pair[1]}`.")

    def groups(self) -> Iterator[h5g.GroupID]:
        """The group of every pair."""
        return map(self._linked.group, pair_keys(self._linked.root))

    @property
    def digest(self) -> str:
        """Names these matches for the stores made from them; see `store_digest`."""
        return store_digest(self._linked.file, self.path)

    def _open(self, key: str) -> h5g.GroupID | None:
        try:
            return self._linked.group(key)
        except KeyError:
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


class PairWriter(ShardWriter[tuple[Value, int], None]):
    """Adds something per pair to a store; a subclass says how it is written (`_encode`)."""

    @abstractmethod
    def _encode(self, group: h5g.GroupID, value: Value, n_keypoints: int) -> None:
        """Write the value of a pair whose first image has `n_keypoints` keypoints."""

    def has_pair(self, pair: Pair) -> bool:
        """Is the pair in the store, in either order, on disk or about to be?"""
        return pair_key(pair) in self or pair_key(pair[::-1]) in self

    def add_pair(self, pair: Pair, value: Value, n_keypoints: int) -> None:
        """Add the value of a pair whose first image has `n_keypoints` keypoints."""
        self.add(pair_key(pair), (value, n_keypoints))

    def _fill(self, group: h5g.GroupID, value: tuple[Value, int]) -> None:
        self._encode(group, *value)

    def _read_entry(self, root: h5g.GroupID, key: str) -> None:
        """A link tells all."""

    def _link(self, index: h5g.GroupID, key: str, shard: str, entry: None) -> None:
        first, _, second = key.rpartition("/")
        add_external_link(require_group(index, first), second, shard, f"/{key}")

    def _is_linked(self, index: h5g.GroupID, key: str) -> bool:
        return is_external(index, key)

    def _keys(self, root: h5g.GroupID) -> Iterator[str]:
        return pair_keys(root)


class MatchWriter(PairWriter[Matches]):
    """Adds matches to a store."""

    def _encode(self, group: h5g.GroupID, value: Matches, n_keypoints: int) -> None:
        encode_matches(group, value, n_keypoints)


def _places(pair: Pair) -> Iterator[tuple[str, bool]]:
    """Where hloc looks for a pair: today's naming, then the old one, both ways (True: swapped)."""
    for key_of in (pair_key, old_pair_key):
        yield key_of(pair), False
        yield key_of(pair[::-1]), True


def old_pair_key(pair: Pair) -> str:
    """The group of a pair in files of early hloc versions."""
    return "_".join(name.replace("/", "-") for name in pair)


def _swap(matches: Matches) -> Matches:
    order = np.argsort(matches.indices[:, 1], kind="stable")
    return Matches(np.ascontiguousarray(matches.indices[order, ::-1]), matches.scores[order])


def encode_matches(group: h5g.GroupID, matches: Matches, n_keypoints: int) -> None:
    """Write matches as hloc does, one entry per keypoint of the first image."""
    matches0 = np.full(n_keypoints, -1, np.int32)
    scores0 = np.zeros(n_keypoints, np.float16)
    matches0[matches.indices[:, 0]] = matches.indices[:, 1]
    scores0[matches.indices[:, 0]] = matches.scores
    write_compressed(group, "matches0", matches0)
    write_compressed(group, "matching_scores0", scores0)


def decode_matches(group: h5g.GroupID) -> Matches:
    """Read what `encode_matches` or hloc wrote, sorted by the keypoint of the first image."""
    matches0 = read_array(group, "matches0", INT32)
    rows = np.flatnonzero(matches0 > -1)
    indices = np.empty((len(rows), 2), np.int32)
    indices[:, 0], indices[:, 1] = rows, matches0[rows]
    return Matches(indices, read_array(group, "matching_scores0")[rows].astype(np.float32))


def pair_keys(root: h5g.GroupID) -> Iterator[str]:
    """`name0/name1` of every pair; `name0_name1` where an early hloc wrote it."""
    for first in member_names(root):
        if not is_group(root, first):
            continue
        inner = open_group(root, first)
        if has_link(inner, "matches0"):
            yield first
        else:
            yield from (f"{first}/{second}" for second in member_names(inner))
