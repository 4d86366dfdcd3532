"""Verified matches: the layout of a match store with inliers only, and the geometry of each pair.

The group of a pair has the attributes `kind`, `matrix` (3, 3) float64, `threshold_px` and
`n_tentative`. A pair that was looked at and has no inliers is there too, with no match.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from h5py import h5g

from silk_sfm.errors import StoreError
from silk_sfm.features import TwoViewGeometry
from silk_sfm.store.arrays import (
    FLOAT64,
    INT32,
    INT64,
    has_attribute,
    read_array,
    read_attribute,
    read_text,
    write_attribute,
)
from silk_sfm.store.matches import Pair, PairReader, PairWriter, decode_matches, encode_matches


class VerifiedStore(PairReader):
    """Reads two-view geometries."""

    def __getitem__(self, pair: Pair) -> TwoViewGeometry:
        """The geometry of a pair, which must be asked for in its stored order.

        Raises StoreError when it is not there or not verified.
        """
        return _decode(self._verified(pair))

    def counts(self, pair: Pair) -> tuple[int, int]:
        """How many inliers and how many tentative matches a pair has, without its geometry.

        Takes less than half the time. Errors as when the pair is read.
        """
        group = self._verified(pair)
        n_inliers = np.count_nonzero(read_array(group, "matches0", INT32) > -1)
        return int(n_inliers), int(read_attribute(group, "n_tentative", INT64))

    def values(self) -> Iterator[TwoViewGeometry]:
        """The geometry of every pair. Raises StoreError when the store is not a verified one."""
        for group in self.groups():
            if not has_attribute(group, "matrix"):
                raise StoreError(f"{self.path} holds no two-view geometries.")
            yield _decode(group)

    def _verified(self, pair: Pair) -> h5g.GroupID:
        group, swapped = self.group(pair)
        if swapped or not has_attribute(group, "matrix"):
            raise StoreError(
                f"{self.path} holds no two-view geometry of `{pair[0]}` `{pair[1]}`. "
                "Give the output of `silk-sfm verify`."
            )
        return group


def _decode(group: h5g.GroupID) -> TwoViewGeometry:
    kind: Any = read_text(group, "kind")
    return TwoViewGeometry(
        kind=kind,
        matrix=read_attribute(group, "matrix", FLOAT64),
        inliers=decode_matches(group),
        threshold_px=float(read_attribute(group, "threshold_px", FLOAT64)),
        n_tentative=int(read_attribute(group, "n_tentative", INT64)),
    )


class VerifiedWriter(PairWriter[TwoViewGeometry]):
    """Adds two-view geometries to a store."""

    def _encode(self, group: h5g.GroupID, value: TwoViewGeometry, n_keypoints: int) -> None:
        encode_matches(group, value.inliers, n_keypoints)
        write_attribute(group, "kind", value.kind)
        write_attribute(group, "matrix", value.matrix)
        write_attribute(group, "threshold_px", np.array(value.threshold_px, np.float64))
        write_attribute(group, "n_tentative", np.array(value.n_tentative, np.int64))
