"""The files of a store: its index, and the folder of finished shards beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from silk_sfm.errors import StoreError
from silk_sfm.files import sync_folder, whole_file
from silk_sfm.store.hdf5 import LinkedFile
from silk_sfm.store.provenance import GENERATION, Provenance

LAST_SHARD = "last_shard"
"""Attribute of an index: the number of the last shard that it leads to."""


def shard_folder(path: Path) -> Path:
    """Where the shards of a store lie: beside it."""
    return path.with_name(path.name + ".shards")


def shard_name(number: int) -> str:
    """Name of the file of a shard; they count from 1."""
    return f"{number:06d}.h5"


def check_shards(path: Path, last_shard: int) -> None:
    """Raises StoreError when a shard that the index of a store leads to is not there."""
    there = {int(shard.stem) for shard in shards_of(path)}
    lost = sorted(set(range(1, last_shard + 1)) - there)
    if lost:
        raise StoreError(
            f"{path} leads to {shard_folder(path).name}/{shard_name(lost[0])}, which is not there. "
            "Put it back, or --overwrite to start anew."
        )


def check_made_with(provenance: Provenance, files: Iterable[Path], store: Path) -> None:
    """Raises StoreError that tells the differences when a file of `store` was made otherwise."""
    for path in files:
        with LinkedFile(path) as file:
            made = Provenance.read(file.file, path)
        if made is None:
            raise StoreError(
                f"{store} was made by another program; nothing is added to it. "
                "Choose another file, or --overwrite to start anew."
            )
        if made.digest != provenance.digest:
            raise StoreError(
                f"{store} was made with other settings ({made.differences(provenance)}). "
                "Use those, choose another file, or --overwrite to start anew."
            )


def generation_of(path: Path) -> int:
    """How often a store was started anew. Raises StoreError for one that cannot be read."""
    with LinkedFile(path) as store:
        return int(store.file.attrs.get(GENERATION, 0))


def of_generation(generation: int, files: Iterable[Path]) -> list[Path]:
    """Those of the files that belong to this generation of their store."""
    return [path for path in files if generation_of(path) == generation]


def shards_of(path: Path) -> list[Path]:
    """The finished shards of a store, in the order in which they were written."""
    folder = shard_folder(path)
    return sorted(path for path in folder.glob("*.h5") if path.stem.isdigit())


def is_packed(path: Path) -> bool:
    """Is the store one plain file?"""
    with LinkedFile(path) as store:
        return LAST_SHARD not in store.file.attrs


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name; where the file system has no such thing, a copy."""
    try:
        os.link(source, target)
        sync_folder(target.parent)
    except OSError:
        with whole_file(target) as part:
            shutil.copyfile(source, part)
