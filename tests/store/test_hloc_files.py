"""Files that hloc itself wrote are read."""

import json
from itertools import permutations

import numpy as np
from shared_data import shared

from silk_sfm.store import FeatureStore, MatchStore

FEATURES = "feats-sift.h5"
MATCHES = "feats-sift_matches-NN-mutual_pairs-exhaustive-nospace.h5"


def test_features() -> None:
    folder = shared("reference_others", "hloc")
    layout = json.loads((folder / "layout_and_results.json").read_text())
    assert FEATURES in json.dumps(layout)
    with FeatureStore(folder / FEATURES) as store:
        assert len(store) == 4
        assert "sub folder/10265353 3838484249.jpg" in store
        for name in store.names:
            features = store[name]
            assert features.keypoints.dtype == np.float32
            assert len(features) > 50
            np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=2e-3)
            inside = (features.keypoints >= 0) & (features.keypoints < features.image_size)
            assert inside.all()


def test_matches_equal_what_hloc_reads_back() -> None:
    folder = shared("reference_others", "hloc")
    recorded = np.load(folder / "read_back_NN-mutual.npz")
    with FeatureStore(folder / FEATURES) as features, MatchStore(folder / MATCHES) as store:
        names = [name for name in features.names if " " not in name]
        assert len(store.pairs(features.names)) == len(store) == 3
        n_compared = 0
        for pair in permutations(names, 2):
            found = store[pair].indices
            expected = _recorded(recorded, found)
            n_compared += expected
    assert n_compared == 6


def _recorded(recorded: dict[str, np.ndarray], found: np.ndarray) -> bool:
    """Is there a recorded pair with exactly these matches, whatever their order?"""
    rows = sorted(map(tuple, found.tolist()))
    candidates = [key for key in recorded if key.endswith("_matches")]
    return any(sorted(map(tuple, recorded[key].tolist())) == rows for key in candidates)


def test_old_naming() -> None:
    folder = shared("reference_others", "hloc")
    with (
        FeatureStore(folder / FEATURES) as features,
        MatchStore(folder / "matches-old-naming-handwritten.h5") as store,
    ):
        pairs = store.pairs(features.names)
        assert pairs
        for a, b in pairs:
            there, back = store[a, b].indices, store[b, a].indices
            assert sorted(map(tuple, there.tolist())) == sorted((j, i) for i, j in back.tolist())
