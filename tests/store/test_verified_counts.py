"""Counts of a verified pair without its geometry: the same numbers, the same refusals."""

from pathlib import Path

import numpy as np
import pytest

from silk_sfm.errors import StoreError
from silk_sfm.features import Matches, TwoViewGeometry
from silk_sfm.store import MatchWriter, Provenance, VerifiedStore, VerifiedWriter

MADE = Provenance("made-up", {}, {})


def matches(count: int) -> Matches:
    rows = np.arange(count, dtype=np.int32)
    return Matches(np.stack([rows, rows], axis=1), np.ones(count, np.float32))


def test_counts_are_those_of_the_geometry(tmp_path: Path) -> None:
    with VerifiedWriter(tmp_path / "v.h5", MADE) as writer:
        for name, count in (("b", 7), ("c", 0)):
            found = TwoViewGeometry("fundamental", np.eye(3), matches(count), 1.0, 20 + count)
            writer.add_pair(("a", name), found, 10)
    with VerifiedStore(tmp_path / "v.h5") as store:
        assert store.counts(("a", "b")) == (7, 27)
        assert store.counts(("a", "c")) == (0, 20)
        for pair in (("a", "b"), ("a", "c")):
            assert store.counts(pair) == (len(store[pair].inliers), store[pair].n_tentative)


def test_pairs_without_a_geometry_are_refused(tmp_path: Path) -> None:
    with MatchWriter(tmp_path / "m.h5", MADE) as writer:
        writer.add_pair(("a", "b"), matches(7), 10)
    with VerifiedStore(tmp_path / "m.h5") as store:
        for pair in (("a", "b"), ("b", "a")):
            with pytest.raises(StoreError, match="holds no two-view geometry of"):
                store.counts(pair)
        with pytest.raises(StoreError, match="holds no pair `a` `c`"):
            store.counts(("a", "c"))
