"""`silk-sfm pack`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.store import pack


@dataclass(frozen=True)
class Pack:
    """Merge a store and its shards into one plain HDF5 file.

    A store is an index (NAME.h5) that leads to finished shard files (NAME.h5.shards). Pack it
    before you move it or give it to someone. It can be added to afterwards.
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """A feature, match or verified store."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    command = tyro.cli(Pack, prog="silk-sfm pack", args=argv)
    size = pack(command.store)
    print(f"pack: {size / 2**20:.1f} MB in one file -> {command.store}")
    return 0
