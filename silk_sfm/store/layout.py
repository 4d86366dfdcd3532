"""What a kind of store says of its entries; the rest of writing it is the same for all kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from h5py import h5g

from silk_sfm.store.hdf5 import LinkedFile

Value = TypeVar("Value")
Entry = TypeVar("Entry")


class Layout(ABC, Generic[Value, Entry]):
    """How a value becomes a group (`_fill`), what the index tells of it (an `Entry`), and how the
    index leads to it (`_link`).
    """

    @abstractmethod
    def _fill(self, group: h5g.GroupID, value: Value) -> Entry:
        """Write `value` into its group of a shard; returns what the index is to tell of it."""

    @abstractmethod
    def _read_entry(self, root: h5g.GroupID, key: str) -> Entry:
        """What `_fill` returned for the group `key` of a finished shard."""

    @abstractmethod
    def _link(self, index: h5g.GroupID, key: str, shard: str, entry: Entry) -> None:
        """Make `key` of the index lead to the group of the same name in the file `shard`."""

    @abstractmethod
    def _is_linked(self, index: h5g.GroupID, key: str) -> bool:
        """Did `_link` make `key` lead to a shard?"""

    @abstractmethod
    def _keys(self, root: h5g.GroupID) -> Iterator[str]:
        """The keys that a shard holds."""

    def _entries_of(self, shard: Path) -> dict[str, Entry]:
        with LinkedFile(shard) as source:
            root = source.root
            return {key: self._read_entry(root, key) for key in self._keys(root)}
