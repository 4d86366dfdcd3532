"""Pieces: what other processes made for a store, beside its shards until its writer takes it over.

A piece is an ordinary store of one writer, in the folder `NAME.h5.shards/pieces` of the store it
belongs to. Many processes, on many machines that share this folder, fill one each; the one writer
of the store then moves their finished shards to its own and leads to them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from silk_sfm.errors import StoreError
from silk_sfm.files import remove_parts, sync_folder
from silk_sfm.store.hdf5 import explained
from silk_sfm.store.lock import WriterLock
from silk_sfm.store.shard_files import generation_of, shard_folder, shards_of

SHARDS = ".shards"


@dataclass(frozen=True)
class Piece:
    """Where a process writes what it does for `store`, and how.

    name: of this piece alone; generation: that of the store; flush_seconds: how much work a kill
    may cost; shard_bytes: size at which a shard is written before that. The longer and the larger,
    the fewer files there are.
    """

    store: Path
    name: str
    generation: int
    flush_seconds: float
    shard_bytes: int = 2**26

    @property
    def path(self) -> Path:
        """The piece as a store."""
        return pieces_folder(self.store) / f"{self.name}.h5"


def pieces_folder(store: Path) -> Path:
    """Where the pieces of a store lie."""
    return shard_folder(store) / "pieces"


def pieces_of(store: Path) -> list[Path]:
    """The pieces that are not taken over yet, by name."""
    folders = sorted(pieces_folder(store).glob(f"*.h5{SHARDS}"))
    return [folder.with_name(folder.name.removesuffix(SHARDS)) for folder in folders]


def first_shards(store: Path) -> list[Path]:
    """One shard of a store and one of each of its pieces, where there are any."""
    return [shard for path in (store, *pieces_of(store)) for shard in shards_of(path)[:1]]


def current_generation(store: Path) -> int:
    """The generation of a store as its next writer will see it; 0 for one that is not there.

    Where the index is gone or damaged, the shards tell; a damaged one is no reason to stop here.
    """
    for made in ([store], first_shards(store)):
        known: list[int] = []
        for path in made:
            with suppress(StoreError):
                known.append(generation_of(path))
        if known:
            return max(known)
    return 0


@contextmanager
def taken_apart(piece: Path) -> Iterator[list[Path]]:
    """The shards of a piece, to be moved away in this order; what is left at the end is removed.

    Last ones first, and the index before them: a piece whose taking over was killed is still a
    store without a gap, which the next writer takes over, or its own process adds to.
    Raises StoreError when a process is writing the piece.
    """
    lock = WriterLock(piece, shard_folder(piece))
    lock.acquire()
    try:
        with explained(piece):
            piece.unlink(missing_ok=True)
            yield shards_of(piece)[::-1]
            remove_parts(piece)
            shutil.rmtree(shard_folder(piece))
    finally:
        lock.release()


def remove_pieces(store: Path) -> None:
    """Remove all pieces of a store. Raises StoreError when a process is writing one."""
    for piece in pieces_of(store):
        with taken_apart(piece):
            pass


def move_shard(shard: Path, target: Path) -> None:
    """Give a finished shard its place in another folder; a power cut leaves it in one of them."""
    with explained(target):
        shard.rename(target)
        sync_folder(target.parent)
