"""A store and its shards as one plain file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import h5py

from silk_sfm.errors import StoreError
from silk_sfm.files import whole_file
from silk_sfm.store.hdf5 import LIBRARY_VERSIONS, LinkedFile, explained
from silk_sfm.store.lock import WriterLock
from silk_sfm.store.pieces import pieces_folder, pieces_of
from silk_sfm.store.shard_files import (
    LAST_SHARD,
    check_shards,
    generation_of,
    is_packed,
    of_generation,
    shard_folder,
    shards_of,
)


def pack(path: Path) -> int:
    """Merge a store and its shards into one plain file; returns its size in bytes.

    The store can be read all the time, and added to afterwards. Shards that a killed run had
    finished are merged too. Raises StoreError when another process writes the store, the disk is
    full or a shard is gone; the store is then as before.
    """
    folder = shard_folder(path)
    if pieces_of(path):
        raise StoreError(
            f"Other processes made {len(pieces_of(path))} pieces of {path} that it does not hold "
            "yet. Run the command that made them once more without --share, then pack."
        )
    if is_packed(path):
        return path.stat().st_size
    if not folder.exists():
        raise StoreError(f"No folder {folder}, to which {path} leads. Was the store moved alone?")
    lock = WriterLock(path, folder)
    lock.acquire()
    try:
        with explained(path), whole_file(path) as part:
            _merge_shards(path, part)
        _remove_shards(path)
    finally:
        lock.release()
    return path.stat().st_size


def _remove_shards(path: Path) -> None:
    """Remove the shards and their folder, unless a process has begun a piece there meanwhile."""
    folder = shard_folder(path)
    with explained(folder):
        for file in folder.iterdir():
            if not file.is_dir():
                file.unlink()
    for left in (pieces_folder(path), folder):
        with suppress(OSError):  # not there, or not empty: a piece for the next run
            left.rmdir()


def _merge_shards(path: Path, target: Path) -> None:
    with h5py.File(target, "w", libver=LIBRARY_VERSIONS) as packed:
        with LinkedFile(path) as index:
            check_shards(path, int(index.file.attrs[LAST_SHARD]))
            for name, value in index.file.attrs.items():
                if name != LAST_SHARD:
                    packed.attrs[name] = value
        for shard in of_generation(generation_of(path), shards_of(path)):
            with LinkedFile(shard) as source:
                _copy_tree(source.file, packed)


def _copy_tree(source: h5py.Group, target: h5py.Group) -> None:
    """Copy every group that holds a dataset, at its own path.

    One that is there already is the same: Ctrl-C came before it was noted, and it was made again.
    """
    for name, member in source.items():
        if any(isinstance(inner, h5py.Dataset) for inner in member.values()):
            if name not in target:
                source.copy(member, target, name=name)
        else:
            _copy_tree(member, target.require_group(name))
