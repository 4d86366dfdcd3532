"""Which kind of store a file is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from silk_sfm.errors import StoreError
from silk_sfm.store.arrays import has_attribute, has_link
from silk_sfm.store.features import feature_keys
from silk_sfm.store.hdf5 import LinkedFile
from silk_sfm.store.matches import pair_keys

StoreKind = Literal["features", "matches", "verified"]


def store_kind(path: Path) -> StoreKind:
    """What a store holds, from its layout, ours or hloc's.

    Raises StoreError when it is empty, another HDF5 file or damaged.
    """
    with LinkedFile(path) as linked:
        if next(feature_keys(linked.root), None) is not None:
            return "features"
        first = next(pair_keys(linked.root), None)
        group = linked.group(first) if first else None
        if group is None or not has_link(group, "matches0"):
            raise StoreError(f"{path} holds neither features nor matches.")
        return "verified" if has_attribute(group, "matrix") else "matches"
