"""A growing HDF5 file that no crash can damage.

Results are collected for a few seconds, then written as a finished shard file into the folder
`NAME.h5.shards` (temporary name, fsync, rename). `NAME.h5` itself is an index: it leads to the
shards by external links and is replaced as a whole. Whoever opens it, at any time, sees a complete
file. What a killed run had not yet put into the index is found in the shards by the next one.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import islice
from pathlib import Path

import h5py

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
from silk_sfm.store.layout import Entry, Layout, Value
from silk_sfm.store.lock import WriterLock
from silk_sfm.store.pieces import (
    Piece,
    current_generation,
    first_shards,
    move_shard,
    pieces_of,
    remove_pieces,
    taken_apart,
)
from silk_sfm.store.provenance import GENERATION, Provenance
from silk_sfm.store.shard_files import (
    LAST_SHARD,
    check_made_with,
    check_shards,
    generation_of,
    is_packed,
    link_or_copy,
    of_generation,
    shard_folder,
    shard_name,
    shards_of,
)

FLUSH_SECONDS = 3.0
"""A killed run loses at most the results of this time."""
SHARD_BYTES = 2**24
"""A shard of this size is written before its time: up to three are in memory. Larger is slower."""
INDEX_SHARE = 0.02
"""The index is rewritten so rarely that this takes at most this share of a run."""


class ShardWriter(Closing, Layout[Value, Entry]):
    """Adds values to a store; use it in a `with` block, which also saves on Ctrl-C and errors.

    Shards go to disk in a thread of their own.
    """

    def __init__(
        self,
        path: Path,
        provenance: Provenance,
        overwrite: bool = False,
        piece: Piece | None = None,
    ) -> None:
        """Open or create the store, or a piece of the store `path`, and take over its pieces.

        Raises StoreError when another process writes it, when it was made with other settings or
        by another program, or when the disk refuses.
        """
        self.path = path if piece is None else piece.path
        self.provenance = provenance
        self._piece = piece
        self.folder = shard_folder(self.path)
        self._shard: h5py.File | None = None  # in memory, until it is finished
        self._unsaved: dict[str, Entry] = {}
        self._added: set[str] = set()
        self._unlinked: dict[int, dict[str, Entry]] = {}
        self._writing: tuple[FileInWriting, dict[str, Entry]] | None = None
        self._last_flush = self._last_index = time.monotonic()
        self._index_seconds = 0.0
        self._last_shard = 0
        self.generation = 0 if piece is None else piece.generation
        make_folder(self.folder)
        self._lock = WriterLock(self.path, self.folder)
        self._lock.acquire()
        try:
            self._open(overwrite)
        except BaseException:
            self._lock.release()
            raise

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
        most = SHARD_BYTES if self._piece is None else self._piece.shard_bytes
        if self._is_due() or self._shard.id.get_filesize() > most:
            self._finish_shard()
            self._renew_index()

    def flush(self) -> None:
        """Bring what was added to the disk as a finished shard; now and then renew the index.

        A piece is in less of a hurry: it waits for its `flush_seconds`.
        """
        if self._piece is None or self._is_due():
            self._save()
            self._renew_index()

    def adopt(self, piece: Path) -> None:
        """Take over the finished shards of a piece, which is gone then.

        A shard with a key that is here already, because work was done twice, and one from before
        the store was started anew are removed instead. Raises StoreError when a process is writing
        the piece, or when it was made with other settings.
        """
        self._save()
        with taken_apart(piece) as shards:
            valid = of_generation(self.generation, shards)
            check_made_with(self.provenance, valid, self.path)
            for shard in valid:
                entries = self._entries_of(shard)
                if not any(key in self for key in entries):
                    self._take_over(shard, entries)
        self._renew_index()

    def _take_over(self, shard: Path, entries: dict[str, Entry]) -> None:
        number = self._last_shard + 1
        move_shard(shard, self.folder / shard_name(number))
        self._last_shard, self._unlinked[number] = number, entries
        self._added.update(entries)

    def _is_due(self) -> bool:
        seconds = FLUSH_SECONDS if self._piece is None else self._piece.flush_seconds
        return time.monotonic() - self._last_flush > seconds

    def _save(self) -> None:
        self._finish_shard()
        self._wait_for_disk()

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
            self._save()
            self._write_index()
        finally:
            if self._shard is not None:  # the one before could not be written
                self._shard.close()
            self._index.close()
            self._lock.release()

    def _open(self, overwrite: bool) -> None:
        if overwrite or (self.path.exists() and self._is_void()):
            self._clear()
        if not self.path.exists():
            if self._piece is None:
                self.generation = current_generation(self.path)
            left = of_generation(self.generation, first_shards(self.path))
            check_made_with(self.provenance, left, self.path)  # its index alone was removed
            write_whole(self.path, file_image(self._start))
        check_made_with(self.provenance, [self.path], self.path)
        self.generation = generation_of(self.path)
        if is_packed(self.path):
            self._unpack()
        # kept in memory: to ask it for a key, and to add links to it, costs little at any size
        self._index = file_in_memory(self.path.read_bytes())
        self._last_shard = int(self._index.attrs[LAST_SHARD])
        self._recover()
        for piece in pieces_of(self.path):
            self.adopt(piece)

    def _is_void(self) -> bool:
        """Is it of a run that failed before any result, or a piece from before a new start?"""
        if self._piece is not None and generation_of(self.path) != self.generation:
            return True
        with LinkedFile(self.path) as index:
            return index.file.attrs.get(LAST_SHARD) == 0 and not first_shards(self.path)

    def _clear(self) -> None:
        """Remove everything; the next generation has another digest, so nothing old fits it."""
        is_there = self.path.exists() or first_shards(self.path)
        if is_there and self._piece is None:
            self.generation = current_generation(self.path) + 1
        remove_pieces(self.path)  # first: one that is being written stops it
        write_whole(self.path, file_image(self._start))  # keeps the generation whatever comes now
        with explained(self.path):
            for shard in shards_of(self.path):
                shard.unlink()

    def _start(self, file: h5py.File) -> None:
        self.provenance.write(file)
        file.attrs[LAST_SHARD] = 0
        file.attrs[GENERATION] = self.generation

    def _unpack(self) -> None:
        """Turn a packed file into the first shard of a new index, so that it can grow again."""
        for shard in shards_of(self.path):  # left by a pack that was killed after its rename
            shard.unlink()
        first = self.folder / shard_name(1)
        link_or_copy(self.path, first)
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
        found = [shard for shard in shards_of(self.path) if int(shard.stem) > self._last_shard]
        valid = of_generation(self.generation, found)
        for stale in set(found) - set(valid):  # starting anew was killed
            stale.unlink()
        self._unlinked = {int(shard.stem): self._entries_of(shard) for shard in valid}
        self._last_shard = max([self._last_shard, *self._unlinked])
        self._found_any = self._last_shard > 0
        self._write_index()

    def _begin_shard(self, file: h5py.File) -> None:
        self.provenance.write(file)
        file.attrs[GENERATION] = self.generation

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
