"""Verification: the same bytes whatever the threads and the order, and the right kind of matrix."""

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from in_process import Outcome, silk_sfm
from many_view_scene import SIZE, TRUE, ManyViewScene, many_view_scene
from shared_data import shared

from silk_sfm.colmap.cameras import mean_focal
from silk_sfm.colmap.intrinsics import read_intrinsics
from silk_sfm.errors import ConfigError, StoreError
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.geometry.epipolar import sampson_error
from silk_sfm.plugins import Correspondences
from silk_sfm.stages.verify import VerificationOptions, pair_seed
from silk_sfm.stages.verify import verify as verify_stage
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    Provenance,
    VerifiedStore,
    VerifiedWriter,
)

N_POINTS, N_WRONG = 120, 40
FEATURES_MADE = Provenance("scene", {}, {})
MATCHES_MADE = Provenance("scene", {}, {"features": FEATURES_MADE.digest})


@pytest.fixture(scope="module")
def scene() -> ManyViewScene:
    return many_view_scene(n_images=6, n_points=N_POINTS, noise_px=0.3)


@pytest.fixture(scope="module")
def root(scene: ManyViewScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f.h5 and m.h5 of the scene, a share of the matches wrong; cameras.txt."""
    root = tmp_path_factory.mktemp("scene")
    with FeatureWriter(root / "f.h5", FEATURES_MADE) as store:
        for name, keypoints in scene.keypoints.items():
            ones = np.ones(len(keypoints), np.float32)
            store.add(name, LocalFeatures(keypoints, ones, ones[:, None], SIZE))
    write_matches(root / "m.h5", scene, list(combinations(scene.names, 2)))
    write_matches(root / "shuffled.h5", scene, shuffled(list(combinations(scene.names, 2))))
    numbers = " ".join(map(str, TRUE.params))
    (root / "cameras.txt").write_text(f"1 {TRUE.model} {SIZE[0]} {SIZE[1]} {numbers}\n")
    return root


def shuffled(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return random.Random(0).sample(pairs, len(pairs))


def write_matches(path: Path, scene: ManyViewScene, pairs: list[tuple[str, str]]) -> None:
    with MatchWriter(path, MATCHES_MADE) as store:
        for pair in pairs:
            store.add_pair(pair, some_matches(pair), N_POINTS)


def some_matches(pair: tuple[str, str]) -> Matches:
    """Point i with point i, and among the first N_WRONG points each with the next one."""
    columns = np.arange(N_POINTS, dtype=np.int32)
    columns[:N_WRONG] = np.roll(columns[:N_WRONG], -1)
    indices = np.stack([np.arange(N_POINTS, dtype=np.int32), columns], axis=1)
    rng = np.random.default_rng(pair_seed(0, pair))
    return Matches(indices, rng.uniform(size=N_POINTS).astype(np.float32))


def verify(root: Path, out: Path, *flags: object, matches: str = "m.h5") -> Outcome:
    done = silk_sfm("verify", root / "f.h5", root / matches, out, *flags)
    assert done.status == 0
    return done


def bytes_of(store: Path) -> list[bytes]:
    """The index and every shard; the folder's name is in the index."""
    assert store.name == "v.h5"
    shards = sorted((store.parent / "v.h5.shards").glob("*.h5"))
    return [store.read_bytes(), *(shard.read_bytes() for shard in shards)]


def test_true_matches_are_kept(root: Path, tmp_path: Path, scene: ManyViewScene) -> None:
    done = verify(root, tmp_path / "v.h5", "--threshold-px", 1)
    assert done.out.startswith("verify: 15 pairs, ")
    with VerifiedStore(tmp_path / "v.h5") as store:
        assert store.pairs(scene.names) == list(combinations(scene.names, 2))
        for pair in store.pairs(scene.names):
            geometry = store[pair]
            is_true = geometry.inliers.indices[:, 0] == geometry.inliers.indices[:, 1]
            assert is_true.sum() >= 0.9 * (N_POINTS - N_WRONG)
            assert (~is_true).sum() <= 0.2 * N_WRONG
            assert (geometry.n_tentative, geometry.threshold_px) == (N_POINTS, 1.0)


def test_same_bytes_for_any_number_of_threads_and_any_order(root: Path, tmp_path: Path) -> None:
    for name in ("one", "four", "shuffled", "seven"):
        (tmp_path / name).mkdir()
    verify(root, tmp_path / "one" / "v.h5", "--threads", 1)
    verify(root, tmp_path / "four" / "v.h5", "--threads", 4)
    verify(root, tmp_path / "shuffled" / "v.h5", "--threads", 4, matches="shuffled.h5")
    verify(root, tmp_path / "seven" / "v.h5", "--seed", 7)
    first = bytes_of(tmp_path / "one" / "v.h5")
    assert len(first) == 2
    assert bytes_of(tmp_path / "four" / "v.h5") == first
    assert bytes_of(tmp_path / "shuffled" / "v.h5") == first
    assert bytes_of(tmp_path / "seven" / "v.h5") != first


def test_seed_of_a_pair() -> None:
    pair = ("a.jpg", "b.jpg")
    assert pair_seed(0, pair) == 781510327
    assert len({pair_seed(seed, pair) for seed in range(100)}) == 100
    assert pair_seed(0, pair) != pair_seed(0, pair[::-1])
    assert pair_seed(0, ("ab", "c")) != pair_seed(0, ("a", "bc"))


def test_known_intrinsics_give_essential_matrices(
    root: Path, tmp_path: Path, scene: ManyViewScene
) -> None:
    verify(root, tmp_path / "v.h5", "--intrinsics", root / "cameras.txt")
    with VerifiedStore(tmp_path / "v.h5") as store:
        assert store.provenance is not None
        assert store.provenance.inputs["intrinsics"] == read_intrinsics(root / "cameras.txt").digest
        for a, b in store.pairs(scene.names):
            geometry = store[a, b]
            assert geometry.kind == "essential"
            values = np.linalg.svd(geometry.matrix, compute_uv=False)
            np.testing.assert_allclose(values / values[0], [1, 1, 0], atol=1e-6)
            rays = [(scene.keypoints[name] - [399.5, 299.5]) / 600.0 for name in (a, b)]
            errors = sampson_error(geometry.matrix, *rays) * mean_focal(TRUE)
            assert np.median(errors) < 1.0


def test_without_intrinsics_matrices_are_fundamental(
    root: Path, tmp_path: Path, scene: ManyViewScene
) -> None:
    verify(root, tmp_path / "v.h5")
    with VerifiedStore(tmp_path / "v.h5") as store:
        for a, b in store.pairs(scene.names):
            geometry = store[a, b]
            assert geometry.kind == "fundamental"
            pixels = [scene.keypoints[name].astype(float) for name in (a, b)]
            assert np.median(sampson_error(geometry.matrix, *pixels)) < 1.0
            assert abs(np.linalg.det(geometry.matrix / np.linalg.norm(geometry.matrix))) < 1e-12


def test_adding_intrinsics_later_is_refused(root: Path, tmp_path: Path) -> None:
    verify(root, tmp_path / "v.h5")
    stores = [root / "f.h5", root / "m.h5", tmp_path / "v.h5"]
    done = silk_sfm("verify", *stores, "--intrinsics", root / "cameras.txt")
    assert done.status == 1
    assert "(intrinsics: made with nothing, now " in done.err


def test_matches_of_other_features_are_refused(root: Path, tmp_path: Path) -> None:
    with MatchWriter(tmp_path / "m.h5", MATCHES_MADE) as store:
        beyond = Matches(np.array([[3, 500]], np.int32), np.ones(1, np.float32))
        store.add_pair(("view 00.jpg", "view 01.jpg"), beyond, N_POINTS)
    done = silk_sfm("verify", root / "f.h5", tmp_path / "m.h5", tmp_path / "v.h5")
    assert done.err == (
        f"silk-sfm verify: error: {tmp_path}/m.h5: the matches of `view 00.jpg` and `view 01.jpg` "
        f"name keypoint 500 of `view 01.jpg`, {root}/f.h5 holds 120 of it. Give the feature store "
        "from which they were made.\n"
    )


def test_a_failing_verifier_is_told_by_pair(root: Path, tmp_path: Path) -> None:
    def failing(points: Correspondences, matches: Matches, seed: int) -> TwoViewGeometry:
        raise ConfigError("no such thing.")

    with (
        FeatureStore(root / "f.h5") as features,
        MatchStore(root / "m.h5") as matches,
        VerifiedWriter(tmp_path / "v.h5", FEATURES_MADE) as store,
        pytest.raises(StoreError) as caught,
    ):
        verify_stage(features, matches, failing, store, VerificationOptions(), {})
    assert str(caught.value) == (f"{root}/m.h5: `view 00.jpg` and `view 01.jpg`: no such thing.")


def test_inputs_are_not_written_over(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.h5")}
    features, matches = root / "f.h5", root / "m.h5"
    (root / "pairs.txt").write_text("view 00.jpg\tview 01.jpg\n")
    for command in (
        ("verify", features, matches, matches),
        ("verify", features, matches, root / "." / "f.h5"),
        ("match", features, root / "pairs.txt", features),
        ("export-colmap", features, matches, features),
    ):
        done = silk_sfm(*command, "--overwrite")
        assert done.status == 1
        assert done.err == (
            f"silk-sfm {command[0]}: error: {command[-1]} is read here. "
            "Choose another file to write.\n"
        )
    assert {path: path.read_bytes() for path in root.rglob("*.h5")} == before


def test_nothing_matched(root: Path, tmp_path: Path) -> None:
    with MatchWriter(tmp_path / "m.h5", MATCHES_MADE) as store:
        store.add_pair(("view 00.jpg", "view 01.jpg"), Matches.empty(), N_POINTS)
    done = silk_sfm("verify", root / "f.h5", tmp_path / "m.h5", tmp_path / "v.h5")
    assert done == Outcome(0, f"verify: 1 pairs, 0 inliers (0 each) -> {tmp_path}/v.h5\n", "")


def test_files_of_hloc(tmp_path: Path) -> None:
    folder = shared("reference_others", "hloc")
    features = folder / "feats-sift.h5"
    matches = folder / "feats-sift_matches-NN-mutual_pairs-exhaustive-nospace.h5"
    done = silk_sfm("verify", features, matches, tmp_path / "v.h5", "--min-inliers", 8)
    assert done.status == 0
    assert done.out.startswith("verify: 3 pairs, ")
    with (
        FeatureStore(features) as found,
        MatchStore(matches) as tentative,
        VerifiedStore(tmp_path / "v.h5") as store,
    ):
        pairs = store.pairs(found.names)
        assert pairs == tentative.pairs(found.names)
        best = max((store[pair] for pair in pairs), key=lambda geometry: len(geometry.inliers))
        assert store.provenance is not None
        assert store.provenance.inputs == {
            "features": f"foreign: {features.name}",
            "matches": f"foreign: {matches.name}",
        }
        for pair in pairs:
            kept = set(map(tuple, store[pair].inliers.indices.tolist()))
            assert kept <= set(map(tuple, tentative[pair].indices.tolist()))
            assert store[pair].n_tentative == len(tentative[pair])
    assert len(best.inliers) >= 8
