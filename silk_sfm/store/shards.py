"""A growing HDF5 file that no crash can damage.

Results are collected for a few seconds, then written as a finished shard file into the folder
`NAME.h5.shards` (temporary name, fsync, rename). `NAME.h5` itself is an index: it leads to the
shards by external links and is replaced as a whole. Whoever opens it, at any time, sees a complete
file. What a killed run had not yet put into the index is found in the shards by the next one.
"""

from __future__ import annotations

import os
import shutil
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import h5py

from silk_sfm.errors import StoreError
from silk_sfm.files import remove_parts
from silk_sfm.store.hdf5 import (
    Closing,
    LinkedFile,
    explained,
    file_image,
    make_folder,
    write_whole,
)
from silk_sfm.store.lock import WriterLock
from silk_sfm.store.provenance import GENERATION, Provenance

FLUSH_SECONDS = 3.0
"""A killed run loses at most the results of this time."""
INDEX_SHARE = 0.02
"""The index is rewritten so rarely that this takes at most this share of a run."""
LAST_SHARD = "last_shard"

Value = TypeVar("Value")


def shard_folder(path: Path) -> Path:
    """Where the shards of a store lie: beside it."""
    return path.with_name(path.name + ".shards")


class ShardWriter(Closing, Generic[Value]):
    """Adds values to a store; use it in a `with` block, which also saves on Ctrl-C and errors.

    A kind of store says how a value becomes a group (`_fill`) and how the index leads to it
    (`_link`).
    """

    def __init__(self, path: Path, provenance: Provenance, overwrite: bool = False) -> None:
        """Open or create the store. Raises StoreError when another process writes it, when it was
        made with other settings or by another program, or when the disk refuses.
        """
        self.path = path
        self.provenance = provenance
        self.folder = shard_folder(path)
        self._unsaved: dict[str, Value] = {}
        self._unlinked: list[tuple[str, list[str]]] = []
        self._last_flush = self._last_index = time.monotonic()
        self._index_seconds = 0.0
        self._generation = 0
        make_folder(self.folder)
        self._lock = WriterLock(path, self.folder)
        self._lock.acquire()
        try:
            self._open(overwrite)
        except BaseException:
            self._lock.release()
            raise

    @abstractmethod
    def _fill(self, file: h5py.File, key: str, value: Value) -> None:
        """Write `value` as the group `key` of a shard."""

    @abstractmethod
    def _link(self, index: h5py.File, key: str, shard: str, source: h5py.File) -> None:
        """Make `key` of the index lead to the group of the same name in the file `shard`."""

    @abstractmethod
    def _keys(self, file: h5py.File) -> Iterator[str]:
        """The keys that a shard or an index holds."""

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: str, value: Value) -> None:
        """Add a value; it is on disk a few seconds later. A key that exists is an error."""
        if key in self._known:
            raise StoreError(f"{self.path} already holds `{key}`.")
        self._unsaved[key] = value
        self._known.add(key)
        if time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added as a finished shard; now and then renew the index."""
        if self._unsaved:
            name = f"{self._last_shard + 1:06d}.h5"
            write_whole(self.folder / name, file_image(self._fill_shard))
            saved, self._unsaved = list(self._unsaved), {}
            self._last_shard += 1
            self._unlinked.append((name, saved))
        now = self._last_flush = time.monotonic()
        if now - self._last_index > max(FLUSH_SECONDS, self._index_seconds / INDEX_SHARE):
            self._write_index()

    def close(self) -> None:
        """Save everything and let other processes write."""
        try:
            self.flush()
            self._write_index()
        finally:
            self._lock.release()

    def _open(self, overwrite: bool) -> None:
        if overwrite or (self.path.exists() and self._holds_nothing()):
            self._clear()
        if not self.path.exists():
            left = shards_of(self.path)[:1]  # of a store whose index alone was removed
            self._check_provenance_of(left)
            self._generation = max([self._generation, *map(generation_of, left)])
            write_whole(self.path, file_image(self._start))
        self._check_provenance_of([self.path])
        if is_packed(self.path):
            self._unpack()
        with LinkedFile(self.path) as index:
            self._known = set(self._keys(index.file))
            self._last_shard = int(index.file.attrs[LAST_SHARD])
        self._generation = generation_of(self.path)
        self._recover()

    def _holds_nothing(self) -> bool:
        """Was the store made by a run that failed before its first result?"""
        with LinkedFile(self.path) as index:
            return index.file.attrs.get(LAST_SHARD) == 0 and not shards_of(self.path)

    def _clear(self) -> None:
        """Remove everything; the next generation has another digest, so nothing old fits it."""
        before = [path for path in (self.path, *shards_of(self.path)[:1]) if path.exists()]
        if before:
            self._generation = max(map(generation_of, before)) + 1
        with explained(self.path):
            self.path.unlink(missing_ok=True)
            for shard in shards_of(self.path):
                shard.unlink()

    def _start(self, file: h5py.File) -> None:
        self.provenance.write(file)
        file.attrs[LAST_SHARD] = 0
        file.attrs[GENERATION] = self._generation

    def _check_provenance_of(self, files: list[Path]) -> None:
        for path in files:
            with LinkedFile(path) as file:
                made = Provenance.read(file.file, path)
            if made is None:
                raise StoreError(
                    f"{self.path} was made by another program; nothing is added to it. "
                    "Choose another file, or --overwrite to start anew."
                )
            if made.digest != self.provenance.digest:
                raise StoreError(
                    f"{self.path} was made with other settings "
                    f"({made.differences(self.provenance)}). "
                    "Use those, choose another file, or --overwrite to start anew."
                )

    def _unpack(self) -> None:
        """Turn a packed file into the first shard of a new index, so that it can grow again."""
        self._generation = generation_of(self.path)
        for shard in shards_of(self.path):  # left by a pack that was killed after its rename
            shard.unlink()
        first = self.folder / f"{1:06d}.h5"
        try:
            os.link(self.path, first)
        except OSError:  # a file system without hard links
            shutil.copyfile(self.path, first)
        self._unlinked = [(first.name, self._keys_of(first))]
        write_whole(self.path, file_image(self._start_with_links))

    def _start_with_links(self, file: h5py.File) -> None:
        self._start(file)
        self._add_links(file)

    def _recover(self) -> None:
        """Find the shards that a killed run had finished but not yet put into the index."""
        check_shards(self.path, self._last_shard)
        remove_parts(self.path)
        for part in self.folder.glob(".*.part-*"):
            part.unlink()
        self._unlinked = [
            (shard.name, self._keys_of(shard))
            for shard in shards_of(self.path)
            if int(shard.stem) > self._last_shard
        ]
        for name, keys in self._unlinked:
            self._known.update(keys)
            self._last_shard = max(self._last_shard, int(Path(name).stem))
        self._write_index()

    def _keys_of(self, shard: Path) -> list[str]:
        with LinkedFile(shard) as source:
            return list(self._keys(source.file))

    def _fill_shard(self, file: h5py.File) -> None:
        self.provenance.write(file)
        file.attrs[GENERATION] = self._generation
        for key, value in self._unsaved.items():
            self._fill(file, key, value)

    def _write_index(self) -> None:
        if not self._unlinked:
            return
        started = time.monotonic()
        write_whole(self.path, file_image(self._add_links, self.path.read_bytes()))
        self._unlinked = []
        self._last_index = time.monotonic()
        self._index_seconds = self._last_index - started

    def _add_links(self, index: h5py.File) -> None:
        for name, keys in self._unlinked:
            with LinkedFile(self.folder / name) as shard:
                for key in keys:
                    self._link(index, key, f"{self.folder.name}/{name}", shard.file)
            index.attrs[LAST_SHARD] = int(Path(name).stem)


def check_shards(path: Path, last_shard: int) -> None:
    """Raises StoreError when a shard that the index of a store leads to is not there."""
    there = {int(shard.stem) for shard in shards_of(path)}
    lost = sorted(set(range(1, last_shard + 1)) - there)
    if lost:
        raise StoreError(
            f"{path} leads to {shard_folder(path).name}/{lost[0]:06d}.h5, which is not there. "
            "Put it back, or --overwrite to start anew."
        )


def generation_of(path: Path) -> int:
    """How often a store was started anew; 0 for one that cannot be read."""
    try:
        with LinkedFile(path) as store:
            return int(store.file.attrs.get(GENERATION, 0))
    except StoreError:
        return 0


def shards_of(path: Path) -> list[Path]:
    """The finished shards of a store, in the order in which they were written."""
    folder = shard_folder(path)
    return sorted(path for path in folder.glob("*.h5") if path.stem.isdigit())


def is_packed(path: Path) -> bool:
    """Is the store one plain file?"""
    with LinkedFile(path) as store:
        return LAST_SHARD not in store.file.attrs
