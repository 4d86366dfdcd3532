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
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import h5py
from h5py import h5g

from silk_sfm.errors import StoreError
from silk_sfm.files import remove_parts
from silk_sfm.store.arrays import add_group
from silk_sfm.store.finishing import FileInWriting
from silk_sfm.store.hdf5 import (
    Closing,
    LinkedFile,
    bytes_of,
    explained,
    file_image,
    file_in_memory,
    make_folder,
    write_whole,
)
from silk_sfm.store.lock import WriterLock
from silk_sfm.store.provenance import GENERATION, Provenance
from silk_sfm.store.shard_files import (
    LAST_SHARD,
    check_shards,
    generation_of,
    is_packed,
    shard_folder,
    shard_name,
    shards_of,
)

FLUSH_SECONDS = 3.0
"""A killed run loses at most the results of this time."""
SHARD_BYTES = 2**26
"""A shard of this size is written before its time: up to three are in memory."""
INDEX_SHARE = 0.02
"""The index is rewritten so rarely that this takes at most this share of a run."""
Value = TypeVar("Value")
Entry = TypeVar("Entry")


class ShardWriter(Closing, Generic[Value, Entry]):
    """Adds values to a store; use it in a `with` block, which also saves on Ctrl-C and errors.

    A kind of store says how a value becomes a group (`_fill`), what the index tells of it (an
    `Entry`) and how the index leads to it (`_link`). Shards go to disk in a thread of their own.
    """

    def __init__(self, path: Path, provenance: Provenance, overwrite: bool = False) -> None:
        """Open or create the store. Raises StoreError when another process writes it, when it was
        made with other settings or by another program, or when the disk refuses.
        """
        self.path = path
        self.provenance = provenance
        self.folder = shard_folder(path)
        self._shard: h5py.File | None = None  # in memory, until it is finished
        self._unsaved: dict[str, Entry] = {}
        self._added: set[str] = set()
        self._unlinked: dict[int, dict[str, Entry]] = {}
        self._writing: tuple[FileInWriting, dict[str, Entry]] | None = None
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

    def __contains__(self, key: str) -> bool:
        if key in self._added:
            return True
        return self._found_any and self._is_linked(self._index.id, key)

    def add(self, key: str, value: Value) -> None:
        """Add a value; it is on disk a few seconds later. A key that exists is an error."""
        if key in self:
            raise StoreError(f"{self.path} already holds `{key}`.")
        if self._shard is None:
            self._shard = file_in_memory()
            self._begin_shard(self._shard)
        self._unsaved[key] = add_group(self._shard.id, key, partial(self._fill, value=value))
        self._added.add(key)
        is_large = self._shard.id.get_filesize() > SHARD_BYTES
        if is_large or time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self._finish_shard()
            self._renew_index()

    def flush(self) -> None:
        """Bring what was added to the disk as a finished shard; now and then renew the index."""
        self._finish_shard()
        self._wait_for_disk()
        self._renew_index()

    def _finish_shard(self) -> None:
        """Hand the shard to the thread that writes it, once the one before is on disk."""
        self._wait_for_disk()
        self._last_flush = time.monotonic()
        if self._shard is None:
            return
        path = self.folder / shard_name(self._last_shard + 1)
        writing, filled = FileInWriting(path, bytes_of(self._shard)), self._shard
        # no call within: Ctrl-C finds the shard either here or there
        self._writing, self._shard, self._unsaved = (writing, self._unsaved), None, {}
        writing.start()
        filled.close()

    def _wait_for_disk(self) -> None:
        """Raises StoreError when the shard cannot be written; it is kept for another try.

        After Ctrl-C it may be called again at any point: the same is noted once more.
        """
        if self._writing is not None:
            writing, entries = self._writing
            writing.wait()
            self._last_shard = int(writing.path.stem)
            self._unlinked[self._last_shard] = entries
            self._writing = None

    def _renew_index(self) -> None:
        if time.monotonic() - self._last_index > max(
            FLUSH_SECONDS, self._index_seconds / INDEX_SHARE
        ):
            self._write_index()

    def close(self) -> None:
        """Save everything and let other processes write."""
        try:
            self.flush()
            self._write_index()
        finally:
            if self._shard is not None:  # the one before could not be written
                self._shard.close()
            self._index.close()
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
        self._generation = generation_of(self.path)
        if is_packed(self.path):
            self._unpack()
        # kept in memory: to ask it for a key, and to add links to it, costs little at any size
        self._index = file_in_memory(self.path.read_bytes())
        self._last_shard = int(self._index.attrs[LAST_SHARD])
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
        for shard in shards_of(self.path):  # left by a pack that was killed after its rename
            shard.unlink()
        first = self.folder / shard_name(1)
        try:
            os.link(self.path, first)
        except OSError:  # a file system without hard links
            shutil.copyfile(self.path, first)
        self._unlinked = {1: self._entries_of(first)}
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
        self._unlinked = {
            int(shard.stem): self._entries_of(shard)
            for shard in shards_of(self.path)
            if int(shard.stem) > self._last_shard
        }
        self._last_shard = max([self._last_shard, *self._unlinked])
        self._found_any = self._last_shard > 0
        self._write_index()

    def _entries_of(self, shard: Path) -> dict[str, Entry]:
        with LinkedFile(shard) as source:
            root = source.root
            return {key: self._read_entry(root, key) for key in self._keys(root)}

    def _begin_shard(self, file: h5py.File) -> None:
        self.provenance.write(file)
        file.attrs[GENERATION] = self._generation

    def _write_index(self) -> None:
        if not self._unlinked:
            return
        started = time.monotonic()
        self._add_links(self._index)
        write_whole(self.path, bytes_of(self._index))
        self._unlinked = {}
        self._last_index = time.monotonic()
        self._index_seconds = self._last_index - started

    def _add_links(self, index: h5py.File) -> None:
        for number, entries in sorted(self._unlinked.items()):
            shard = f"{self.folder.name}/{shard_name(number)}"
            # after Ctrl-C some may be there already
            is_begun = any(self._is_linked(index.id, key) for key in islice(entries, 1))
            for key, entry in entries.items():
                if not (is_begun and self._is_linked(index.id, key)):
                    self._link(index.id, key, shard, entry)
            index.attrs[LAST_SHARD] = number
