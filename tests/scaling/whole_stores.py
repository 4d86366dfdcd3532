"""Everything that a store says, for comparing stores byte for byte."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from silk_sfm.store.pieces import pieces_of
from silk_sfm.store.shard_files import LAST_SHARD, shards_of

Told = dict[str, tuple[Any, ...]]


def everything(path: Path) -> Told:
    """Type, shape and bytes of each dataset and attribute that plain h5py reaches from the file."""
    with h5py.File(path, "r") as file:
        told = {**_attributes(file, "/"), **_members(file, "")}
    told.pop(f"/@{LAST_SHARD}", None)  # into how many files the same results were written
    return told


def _members(group: h5py.Group, prefix: str) -> Told:
    told: Told = {}
    for name, item in group.items():
        told |= _attributes(item, prefix + name)
        if isinstance(item, h5py.Dataset):
            told[prefix + name] = _told(item[()])
        else:
            told |= _members(item, f"{prefix}{name}/")
    return told


def _attributes(owner: h5py.Group | h5py.Dataset, name: str) -> Told:
    return {f"{name}@{key}": _told(value) for key, value in owner.attrs.items()}


def _told(value: Any) -> tuple[Any, ...]:
    array = np.asarray(value)
    return array.dtype, array.shape, value if array.dtype == object else array.tobytes()


def assert_same(one: Path, other: Path) -> None:
    """The stores say the same, hold nothing twice, and nothing waits beside them."""
    a, b = everything(one), everything(other)
    assert a.keys() == b.keys()
    assert [key for key in a if a[key] != b[key]] == []
    for path in (one, other):
        assert pieces_of(path) == []
        assert not [key for key, n_times in Counter(_in_shards(path)).items() if n_times > 1]


def _in_shards(path: Path) -> list[str]:
    """The datasets of all shards, as often as they are there."""
    found: list[str] = []
    for shard in shards_of(path):
        with h5py.File(shard, "r") as file:
            file.visititems(
                lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
            )
    return found
