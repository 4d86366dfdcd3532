"""Verified matches: the layout of a match store with inliers only, and the geometry of each pair.

The group of a pair has the attributes `kind`, `matrix` (3, 3) float64, `threshold_px` and
`n_tentative`. A pair that was looked at and has no inliers is there too, with no match.
"""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.features import TwoViewGeometry
from silk_sfm.store.matches import Pair, PairReader, PairWriter, decode_matches, encode_matches


class VerifiedStore(PairReader):
    """Reads two-view geometries."""

    def __getitem__(self, pair: Pair) -> TwoViewGeometry:
        """The geometry of a pair, which must be asked for in its stored order.

        Raises StoreError when it is not there or not verified.
        """
        group, swapped = self.group(pair)
        if swapped or "matrix" not in group.attrs:
            raise StoreError(
                f"{self.path} holds no two-view geometry of `{pair[0]}` `{pair[1]}`. "
                "Give the output of `silk-sfm verify`."
            )
        return _decode(group)

    def values(self) -> Iterator[TwoViewGeometry]:
        """The geometry of every pair. Raises StoreError when the store is not a verified one."""
        for group in self.groups():
            if "matrix" not in group.attrs:
                raise StoreError(f"{self.path} holds no two-view geometries.")
            yield _decode(group)


def _decode(group: h5py.Group) -> TwoViewGeometry:
    return TwoViewGeometry(
        kind=group.attrs["kind"],
        matrix=np.asarray(group.attrs["matrix"], np.float64),
        inliers=decode_matches(group),
        threshold_px=float(group.attrs["threshold_px"]),
        n_tentative=int(group.attrs["n_tentative"]),
    )


class VerifiedWriter(PairWriter[TwoViewGeometry]):
    """Adds two-view geometries to a store."""

    def _encode(self, group: h5py.Group, value: TwoViewGeometry, n_keypoints: int) -> None:
        encode_matches(group, value.inliers, n_keypoints)
        group.attrs["kind"] = value.kind
        group.attrs["matrix"] = value.matrix
        group.attrs["threshold_px"] = value.threshold_px
        group.attrs["n_tentative"] = value.n_tentative
