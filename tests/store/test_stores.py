"""Known answers, invariants and refusals of the three stores."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    Provenance,
    VerifiedStore,
    VerifiedWriter,
    check_collisions,
    pack,
)

MADE = Provenance("silk", {"top_k": 8000}, {"weights": "abc"})
NAMES = ["a.jpg", "sub folder/b ü.jpg", "sub/deep/c..d.jpg"]


def features(seed: int, n: int = 50) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(n, 8))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(
        keypoints=rng.uniform(0, 3000, (n, 2)).astype(np.float32),
        scores=rng.uniform(size=n).astype(np.float32),
        descriptors=descriptors.astype(np.float32),
        image_size=(4000, 3000),
        uncertainty=0.75,
    )


def write_features(path: Path, names: list[str] = NAMES) -> None:
    with FeatureWriter(path, MADE) as store:
        for seed, name in enumerate(names):
            store.add(name, features(seed))
            store.flush()  # a shard each


def matches(pairs: list[tuple[int, int]]) -> Matches:
    return Matches(np.array(pairs, np.int32).reshape(-1, 2), np.full(len(pairs), 0.5, np.float32))


def hloc_names(path: Path) -> set[str]:
    """List the images as hloc does: the parents of all datasets met on a walk."""
    found: set[str] = set()
    with h5py.File(path, "r", libver="latest") as file:
        file.visititems(
            lambda _, item: (
                found.add(item.parent.name.strip("/")) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_features_come_back_and_hloc_reads_them(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    if packed:
        pack(path)
        assert list(tmp_path.iterdir()) == [path]
    with FeatureStore(path) as store:
        assert store.names == NAMES
        assert store.provenance == MADE
        read = store[NAMES[1]]
        assert store.count(NAMES[1]) == 50
    wrote = features(1)
    np.testing.assert_array_equal(read.keypoints, wrote.keypoints)  # float32, not rounded
    np.testing.assert_array_equal(read.scores, wrote.scores)
    np.testing.assert_allclose(read.descriptors, wrote.descriptors, atol=5e-4)  # float16
    assert (read.image_size, read.uncertainty) == ((4000, 3000), 0.75)
    assert hloc_names(path) == set(NAMES)
    with h5py.File(path, "r", libver="latest") as file:
        group = file[NAMES[1]]
        assert {key: item.__array__().dtype.name for key, item in group.items()} == {
            "keypoints": "float32",
            "descriptors": "float16",
            "scores": "float32",
            "image_size": "int64",
        }
        assert group["descriptors"].shape == (8, 50)
        assert group["keypoints"].attrs["uncertainty"] == 0.75


def test_packed_store_grows_again(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    pack(path)
    with FeatureWriter(path, MADE) as store:
        assert all(name in store for name in NAMES)
        store.add("new.jpg", features(9))
    with FeatureStore(path) as read:
        assert read.names == sorted([*NAMES, "new.jpg"])
        np.testing.assert_array_equal(read[NAMES[0]].keypoints, features(0).keypoints)
    pack(path)
    assert hloc_names(path) == {*NAMES, "new.jpg"}


def test_float32_descriptors_on_request(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", MADE, precision="float32") as store:
        store.add("a.jpg", features(0))
    with FeatureStore(tmp_path / "f.h5") as read:
        np.testing.assert_array_equal(read["a.jpg"].descriptors, features(0).descriptors)


def test_empty_features(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", MADE) as store:
        store.add("a.jpg", LocalFeatures.empty(128, (5, 5)))
    with FeatureStore(tmp_path / "f.h5") as read:
        assert read["a.jpg"].descriptors.shape == (0, 128)


def test_other_settings_are_refused_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    other = Provenance("silk", {"top_k": 500}, {"weights": "xyz"})
    with pytest.raises(StoreError) as caught:
        FeatureWriter(path, other)
    assert str(caught.value) == (
        f"{path} was made with other settings (top_k: made with 8000, now 500; weights: made with "
        "abc, now xyz). Use those, choose another file, or --overwrite to start anew."
    )
    with pytest.raises(StoreError, match=r"\(made by silk, now sift\)"):
        FeatureWriter(path, Provenance("sift", {}, {}))
    with FeatureWriter(path, other, overwrite=True) as store:
        assert NAMES[0] not in store
    with FeatureStore(path) as read:
        assert read.names == []


def test_foreign_file_is_not_added_to(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_group("a.jpg").create_dataset("keypoints", data=np.zeros((1, 2)))
    with pytest.raises(StoreError, match="was made by another program; nothing is added to it"):
        FeatureWriter(tmp_path / "f.h5", MADE)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.attrs["format_version"] = 99
        file.attrs["plugin"] = "silk"
    with pytest.raises(StoreError, match="has format 99, this silk-sfm reads up to 1"):
        FeatureStore(tmp_path / "f.h5")


@pytest.mark.parametrize("content", [b"", b"no hdf5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.h5").write_bytes(content)
    with pytest.raises(StoreError, match=r"f.h5 is damaged or no HDF5 file .* Remove it and make"):
        FeatureStore(tmp_path / "f.h5")
    with pytest.raises(StoreError, match="is damaged or no HDF5 file"):
        FeatureWriter(tmp_path / "f.h5", MADE)


def test_missing_file_shard_and_image(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"No file .*none.h5. Was it moved"):
        FeatureStore(tmp_path / "none.h5")
    path = tmp_path / "feats.h5"
    write_features(path)
    with FeatureStore(path) as store, pytest.raises(StoreError, match="no features of `x.jpg`"):
        store["x.jpg"]
    shutil.rmtree(tmp_path / "feats.h5.shards")
    with FeatureStore(path) as store, pytest.raises(StoreError, match=r"No file .*000001.h5"):
        store[NAMES[0]]


def test_lost_shard_is_named_before_anything_is_added(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    (tmp_path / "feats.h5.shards" / "000002.h5").unlink()
    with pytest.raises(StoreError) as caught:
        FeatureWriter(path, MADE)
    assert str(caught.value) == (
        f"{path} leads to feats.h5.shards/000002.h5, which is not there. Put it back, or "
        "--overwrite to start anew."
    )


def test_no_features_in_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["other"] = 1
    with pytest.raises(StoreError, match="holds no features"):
        FeatureStore(tmp_path / "f.h5")


def test_images_are_found_at_any_depth(tmp_path: Path) -> None:
    """A folder may be called `keypoints`, and what lies inside of an image's group is no image."""
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for key in ("b.jpg", "a/c.jpg", "keypoints/d.jpg", "e/keypoints/f.jpg", "b.jpg/more/g"):
            file[f"{key}/keypoints"] = np.zeros((1, 2))
        file["keypoints of nothing"] = 1
        file["h/keypoints_old"] = 1
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.names == ["a/c.jpg", "b.jpg", "e/keypoints/f.jpg", "keypoints/d.jpg"]


@pytest.mark.parametrize("dataset", ["keypoints", "descriptors", "scores", "image_size"])
def test_texts_where_numbers_belong(dataset: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = file.create_group("a.jpg")
        numbers = {"keypoints": (3, 2), "descriptors": (8, 3), "scores": (3,), "image_size": (2,)}
        for name, shape in numbers.items():
            group[name] = np.full(shape, "x", "S1") if name == dataset else np.ones(shape)
    with FeatureStore(tmp_path / "f.h5") as store:
        with pytest.raises(StoreError, match="features of `a.jpg` are damaged"):
            store["a.jpg"]
        if dataset == "keypoints":
            with pytest.raises(StoreError, match="features of `a.jpg` are damaged"):
                store.positions("a.jpg")
        if dataset == "image_size":
            with pytest.raises(StoreError, match="features of `a.jpg` are damaged"):
                store.image_size("a.jpg")


def test_inconsistent_foreign_features(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = file.create_group("a.jpg")
        group["keypoints"] = np.zeros((3, 2))
        group["descriptors"] = np.zeros((8, 4))
        group["image_size"] = np.array([5, 5])
    with FeatureStore(tmp_path / "f.h5") as store, pytest.raises(StoreError) as caught:
        store["a.jpg"]
    assert "features of `a.jpg` are damaged: descriptors has shape (4, 8)" in str(caught.value)


def test_a_key_is_written_once(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", MADE) as store:
        store.add("a.jpg", features(0))
        with pytest.raises(StoreError, match="already holds `a.jpg`"):
            store.add("a.jpg", features(1))


def test_matches_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    large = matches([(2, 40000), (7, 3)])  # hloc's int16 would wrap
    with MatchWriter(path, MADE) as store:
        store.add_pair((NAMES[0], NAMES[1]), large, 10)
        store.add_pair((NAMES[0], NAMES[2]), Matches.empty(), 10)
        store.add_pair((NAMES[1], NAMES[2]), Matches.empty(), 0)
        assert store.has_pair((NAMES[0], NAMES[1]))
    with MatchStore(path) as read:
        assert len(read) == 3
        assert read.pairs(NAMES) == [
            (NAMES[0], NAMES[1]),
            (NAMES[0], NAMES[2]),
            (NAMES[1], NAMES[2]),
        ]
        np.testing.assert_array_equal(read[NAMES[0], NAMES[1]].indices, [[2, 40000], [7, 3]])
        np.testing.assert_array_equal(read[NAMES[1], NAMES[0]].indices, [[3, 7], [40000, 2]])
        assert read[NAMES[0], NAMES[1]].scores.tolist() == [0.5, 0.5]
        assert len(read[NAMES[0], NAMES[2]]) == 0
        with pytest.raises(StoreError, match="holds no pair `x` `y`"):
            read["x", "y"]
    with h5py.File(path, "r") as file:
        group = file["a.jpg/sub folder-b ü.jpg"]
        assert group["matches0"].dtype == np.int32
        assert group["matches0"][()].tolist() == [-1, -1, 40000, -1, -1, -1, -1, 3, -1, -1]
        assert group["matching_scores0"].dtype == np.float16


def test_pairs_of_unknown_images(tmp_path: Path) -> None:
    with MatchWriter(tmp_path / "m.h5", MADE) as store:
        store.add_pair(("a.jpg", "b.jpg"), Matches.empty(), 3)
    with MatchStore(tmp_path / "m.h5") as read, pytest.raises(StoreError, match="`a.jpg/b.jpg`"):
        read.pairs(["a.jpg"])


def test_colliding_names_are_an_error() -> None:
    check_collisions([("a/b.jpg", "c.jpg"), ("a/b.jpg", "d.jpg")])
    with pytest.raises(StoreError) as caught:
        check_collisions([("a/b.jpg", "c.jpg"), ("a-b.jpg", "c.jpg")])
    assert str(caught.value) == (
        "The pairs `a/b.jpg` `c.jpg` and `a-b.jpg` `c.jpg` would share one group in a match store, "
        "because `/` is written as `-`. Rename an image."
    )


def test_geometries_come_back(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    geometry = TwoViewGeometry("essential", np.arange(9.0).reshape(3, 3), matches([(1, 2)]), 1.5, 9)
    with VerifiedWriter(path, MADE) as store:
        store.add_pair(("a.jpg", "b.jpg"), geometry, 5)
    with VerifiedStore(path) as read:
        back = read["a.jpg", "b.jpg"]
        with pytest.raises(StoreError, match="no two-view geometry of `b.jpg` `a.jpg`"):
            read["b.jpg", "a.jpg"]
    assert (back.kind, back.threshold_px, back.n_tentative) == ("essential", 1.5, 9)
    np.testing.assert_array_equal(back.matrix, geometry.matrix)
    np.testing.assert_array_equal(back.inliers.indices, [[1, 2]])


def test_match_store_is_not_verified(tmp_path: Path) -> None:
    with MatchWriter(tmp_path / "m.h5", MADE) as store:
        store.add_pair(("a.jpg", "b.jpg"), Matches.empty(), 3)
    with (
        VerifiedStore(tmp_path / "m.h5") as read,
        pytest.raises(StoreError, match="silk-sfm verify"),
    ):
        read["a.jpg", "b.jpg"]


def test_pack_keeps_shards_that_a_killed_run_left_out_of_the_index(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path, NAMES[:1])
    before = path.read_bytes()
    with FeatureWriter(path, MADE) as store:
        store.add(NAMES[1], features(1))
    path.write_bytes(before)  # the index as it was: the new shard is not in it
    pack(path)
    with FeatureStore(path) as read:
        assert read.names == NAMES[:2]


def test_pack_takes_one_of_two_that_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    shards = tmp_path / "feats.h5.shards"
    shutil.copy(shards / "000002.h5", shards / "000004.h5")  # made again after Ctrl-C
    with FeatureWriter(path, MADE) as store:
        assert NAMES[1] in store
    pack(path)
    with FeatureStore(path) as read:
        assert read.names == NAMES
        np.testing.assert_array_equal(read[NAMES[1]].keypoints, features(1).keypoints)


def test_pack_refuses_when_a_shard_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    (tmp_path / "feats.h5.shards" / "000002.h5").unlink()
    with pytest.raises(StoreError, match="000002.h5, which is not there"):
        pack(path)
    assert (tmp_path / "feats.h5.shards" / "000001.h5").exists()


def test_features_made_anew_have_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    with FeatureStore(path) as store:
        first = store.digest
    write_features(tmp_path / "same.h5")
    with FeatureStore(tmp_path / "same.h5") as store:
        assert store.digest == first
    with FeatureWriter(path, MADE, overwrite=True) as anew:
        anew.add(NAMES[0], features(7))
    with FeatureStore(path) as store:
        assert store.digest == f"{first}.1"
    pack(path)
    with FeatureStore(path) as store:
        assert store.digest == f"{first}.1"
    with FeatureWriter(path, MADE) as grown:
        grown.add(NAMES[1], features(1))
    path.unlink()  # its shards tell what the index told
    FeatureWriter(path, MADE).close()
    with FeatureStore(path) as store:
        assert (len(store), store.digest) == (2, f"{first}.1")


def test_removed_index_is_made_again_from_the_shards(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    path.unlink()
    with pytest.raises(StoreError, match="made with other settings"):
        FeatureWriter(path, Provenance("silk", {"top_k": 1}, {}))
    with FeatureWriter(path, MADE) as store:
        assert [name in store for name in (*NAMES, "sub", "other.jpg")] == [True] * 3 + [False] * 2
    with FeatureStore(path) as read:
        assert read.names == NAMES


def test_a_writer_knows_what_is_there_at_any_depth(tmp_path: Path) -> None:
    """Folders named like datasets, images whose name begins like a folder's."""
    path = tmp_path / "feats.h5"
    names = ["a/keypoints/1.jpg", "b", "b.jpg/c.jpg", "keypoints/2.jpg"]
    others = ["a", "a/keypoints", "b.jpg", "c.jpg", "keypoints", "b/keypoints", "", "x/y/z.jpg"]
    write_features(path, names[:2])
    with FeatureWriter(path, MADE) as store:
        for name in names[2:]:
            store.add(name, features(0))
            store.flush()
        assert all(name in store for name in names)
        assert not any(name in store for name in others)
    with FeatureWriter(path, MADE) as store:
        assert all(name in store for name in names)
        assert not any(name in store for name in others)
        with pytest.raises(StoreError, match="already holds `b`"):
            store.add("b", features(0))


def test_adding_does_not_list_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feats.h5"
    write_features(path)
    listed: list[object] = []
    monkeypatch.setattr(FeatureWriter, "_keys", lambda _, root: listed.append(root) or [])
    with FeatureWriter(path, MADE) as store:
        store.add("new.jpg", features(0))
    assert not listed
    with FeatureStore(path) as read:
        assert read.names == sorted([*NAMES, "new.jpg"])


def test_a_value_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    path, pair = tmp_path / "m.h5", ("a.jpg", "b.jpg")
    with MatchWriter(path, MADE) as store:
        with pytest.raises(IndexError):
            store.add_pair(pair, matches([(7, 0)]), 3)  # of an image with three keypoints
        assert not store.has_pair(pair)
    with MatchWriter(path, MADE) as store:
        assert not store.has_pair(pair)
        store.add_pair(pair, matches([(2, 0)]), 3)
    with MatchStore(path) as read:
        assert len(read[pair]) == 1


def test_a_pair_counts_once_in_either_order(tmp_path: Path) -> None:
    with MatchWriter(tmp_path / "m.h5", MADE) as store:
        store.add_pair(("a.jpg", "b.jpg"), Matches.empty(), 3)
        assert store.has_pair(("b.jpg", "a.jpg"))
        store.add_pair(("b.jpg", "a.jpg"), Matches.empty(), 3)  # as another program may write it
    with MatchStore(tmp_path / "m.h5") as read:
        assert read.pairs(["a.jpg", "b.jpg"]) == [("a.jpg", "b.jpg")]


def test_open_shards_take_little_memory(tmp_path: Path) -> None:
    path, found = tmp_path / "m.h5", matches([(0, 1)])
    pairs = [("a.jpg", f"{i}.jpg") for i in range(2000)]
    with MatchWriter(path, MADE) as writer:
        for pair in pairs:
            writer.add_pair(pair, found, n_keypoints=3)
    with MatchStore(path) as store:
        assert all(len(store[pair]) == 1 for pair in pairs)
        kept = [shard.id.get_mdc_size()[2] for shard in store._linked._shards.values()]
    assert kept
    assert max(kept) <= 2**16
