"""Whole files: HDF5 built in memory, written beside its place, then renamed; and its reading."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
from h5py import h5g

from silk_sfm.errors import StoreError
from silk_sfm.files import whole_file
from silk_sfm.store.arrays import external_target, open_group

MAX_OPEN_SHARDS = 64
SHARD_METADATA_BYTES = 2**16
"""What HDF5 keeps of the structure of an open shard; in memory that is twenty times as much. By
itself it keeps up to 32 MiB, 15 MB in memory for 1,250 pairs that were read once.
"""
LIBRARY_VERSIONS = ("v110", "v110")
"""Compact groups and small indices of compressed arrays; every HDF5 since 1.10 (2016) reads it."""
MEMORY_BLOCK = 2**20
"""Bytes by which a file in memory grows."""


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` so that `path` is either complete and on disk, or as it was before.

    Raises StoreError when the disk is full or the folder cannot be written.
    """
    with explained(path), whole_file(path) as part:
        part.write_bytes(content)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is written into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(_write_failure(path, error)) from error


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; raises StoreError when that is not allowed."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _write_failure(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what_to_do = "The disk is full: free some space and run the same command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        what_to_do = "The folder is not writable: choose another one or change its permissions"
    else:
        what_to_do = "Run the same command again once this is repaired"
    reason = error.strerror or error
    return f"Cannot write {path}: {reason}. {what_to_do}; what was finished before is kept."


def file_image(fill: Callable[[h5py.File], None]) -> bytes:
    """The bytes of an HDF5 file that `fill` writes."""
    with file_in_memory() as file:
        fill(file)
        return bytes_of(file)


def file_in_memory(start: bytes | None = None) -> h5py.File:
    """An HDF5 file that is not on disk yet; `start` is a file to add to."""
    return h5py.File.in_memory(start, block_size=MEMORY_BLOCK, libver=LIBRARY_VERSIONS)


def bytes_of(file: h5py.File) -> bytes:
    """The bytes of a file in memory."""
    file.flush()
    image: bytes = file.id.get_file_image()
    return image


class Closing(ABC):
    """Something to use in a `with` block, which closes it."""

    @abstractmethod
    def close(self) -> None:
        """Finish and let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LinkedFile(Closing):
    """An HDF5 file to read, with the shard files its external links lead to kept open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shards: OrderedDict[str, h5py.File] = OrderedDict()
        self.file = _open_file(path)

    def close(self) -> None:
        """Close the file and its shards."""
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
        self.file.close()

    @property
    def root(self) -> h5g.GroupID:
        """The top group of the file, for the functions of `arrays`."""
        return self.file.id

    def group(self, key: str, member: str | None = None) -> h5g.GroupID:
        """The group `key`: through its own link, or through that of its dataset `member`.

        Raises StoreError when the data a link leads to is missing or damaged; KeyError without it.
        """
        target = external_target(self.root, f"{key}/{member}" if member else key)
        if target is None:
            return open_group(self.root, key)
        name, path = target
        return open_group(self._shard(name).id, path.rpartition("/")[0] if member else path)

    def _shard(self, name: str) -> h5py.File:
        shard = self._shards.pop(name, None)
        if shard is None:
            shard = _open_file(self.path.parent / name)
            _keep_little(shard)
            while len(self._shards) >= MAX_OPEN_SHARDS:
                self._shards.popitem(last=False)[1].close()
        self._shards[name] = shard
        return shard


def _keep_little(shard: h5py.File) -> None:
    """Many shards are open, and of each an entry is read about once."""
    cache = shard.id.get_mdc_config()
    cache.set_initial_size = True
    cache.initial_size = cache.min_size = cache.max_size = SHARD_METADATA_BYTES
    shard.id.set_mdc_config(cache)


def _open_file(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise StoreError(f"No file {path}. Was it moved, or the stage before not run?") from None
    except IsADirectoryError:
        raise StoreError(f"{path} is a folder, not an HDF5 file.") from None
    except PermissionError:
        raise StoreError(f"{path} may not be read. Change its permissions.") from None
    except OSError as error:
        raise StoreError(
            f"{path} is damaged or no HDF5 file ({error}). Remove it and make it again."
        ) from error
