"""What an index costs: `python tests/scaling/index_constants.py N_ENTRIES FOLDER`.

Prints, for a store of features and one of matches with so many entries in shards, the bytes of the
index, and the seconds for taking over a piece, for writing the index and for opening it; then what
a run that finds nothing to do takes to open the store for writing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np

from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.store import FeatureStore, FeatureWriter, MatchStore, MatchWriter, Provenance
from silk_sfm.store.matches import pair_key
from silk_sfm.store.pieces import Piece

MADE = Provenance("none", {}, {})
IN_A_PIECE = {"features": 32, "matches": 1024}
EMPTY = LocalFeatures.empty(128, (640, 480))


def measure(kind: str, keys: list[str], values: Any, path: Path) -> None:
    """Print the constants of one kind of store."""
    writer: Any = FeatureWriter if kind == "features" else MatchWriter
    seconds: dict[str, float] = {}
    size = IN_A_PIECE[kind]
    pieces = [Piece(path, f"{i:06d}", 0, 1e9) for i in range(-(-len(keys) // size))]
    for i, piece in enumerate(pieces):
        with writer(path, MADE, piece=piece) as store:
            for key in keys[i * size : (i + 1) * size]:
                store.add(key, values)
    with timed(seconds, "take over all pieces, write the index"), writer(path, MADE):
        pass
    with timed(seconds, "open to write"):
        store = writer(path, MADE)
    store.close()
    with timed(seconds, "open to read"):
        reader: Any = FeatureStore(path) if kind == "features" else MatchStore(path)
    if isinstance(reader, MatchStore):
        with timed(seconds, "list the pairs"):
            reader.pairs({name for key in keys for name in key.split("/")})
    n_bytes = path.stat().st_size
    print(f"{kind}: {len(keys)} entries in {len(pieces)} pieces")
    print(f"  index {n_bytes / 2**20:.1f} MiB, {n_bytes / len(keys):.0f} bytes an entry")
    for what, taken in seconds.items():
        print(f"  {what}: {taken:.2f} s, {1e6 * taken / len(keys):.0f} us an entry")
    reader.close()


@contextmanager
def timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.perf_counter()
    yield
    seconds[what] = time.perf_counter() - started


if __name__ == "__main__":
    n_entries, folder = int(sys.argv[1]), Path(sys.argv[2])
    names = [f"image_{i:07d}.jpg" for i in range(n_entries)]
    measure("features", names, EMPTY, folder / "features.h5")
    pairs = [pair_key(pair) for pair in islice(combinations(names, 2), n_entries)]
    found = Matches(np.zeros((1, 2), np.int32), np.ones(1, np.float32))
    measure("matches", pairs, (found, 1), folder / "matches.h5")
