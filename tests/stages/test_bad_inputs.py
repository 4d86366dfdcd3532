"""Weights, pair lists, stores and outputs that cannot be used: one line says which and why."""

import shutil
from pathlib import Path

import h5py
import numpy as np
from in_process import Outcome, silk_sfm
from small_extraction import extract

# ---------- weights ----------


def test_weights_that_are_none(inputs: Path, tmp_path: Path) -> None:
    names = "silk, silk-micro, pvgg-4, pvgg-1, pvgg-micro, coco-rgb-aug"
    photos, store = inputs / "photos", tmp_path / "f.h5"
    missing, text = tmp_path / "none.safetensors", tmp_path / "text.safetensors"
    text.write_text("hello, no weights here")
    assert silk_sfm("extract", photos, store, "--weights", missing).err == (
        f"silk-sfm extract: error: No weights {missing}: no such file. Give a .safetensors or "
        f".ckpt file, or one of the names {names}.\n"
    )
    assert silk_sfm("extract", photos, store, "--weights", text).err == (
        f"silk-sfm extract: error: {text}: expected a zip checkpoint or a safetensors file, found "
        "a file that starts with b'hello, no'.\n"
    )
    assert not store.exists()


# ---------- pair lists ----------


def test_faulty_pair_lists(inputs: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("000.png 001.png\n000.png 9.png\n001.png 001.png\n001.png 000.png\nalone\n")
    faults = (
        f"Pair list {path}: line 2: no image `9.png`; line 3: `001.png` is paired with itself; "
        "line 4: `001.png` and `000.png` are already paired in line 1; line 5: `alone` is no pair "
        "(two names; a tab between names that hold spaces). Correct these lines.\n"
    )
    done = silk_sfm("match", inputs / "f.h5", path, tmp_path / "m.h5", "--device", "cpu")
    assert done == Outcome(1, "", f"silk-sfm match: error: {faults}")
    flags = ["--pairing", "file", "--pair-file", path]
    done = silk_sfm("pairs", inputs / "photos", tmp_path / "out.txt", *flags)
    assert done == Outcome(1, "", f"silk-sfm pairs: error: {faults}")
    assert not (tmp_path / "out.txt").exists()


def test_pairs_that_collide_in_a_match_store(inputs: Path, tmp_path: Path) -> None:
    for name in ("a/b.png", "a-b.png", "c.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(inputs / "photos/000.png", tmp_path / "photos" / name)
    assert extract(inputs, tmp_path / "photos", tmp_path / "f.h5").status == 0
    assert silk_sfm("pairs", tmp_path / "f.h5", tmp_path / "p.txt").status == 0
    stores = [tmp_path / "f.h5", tmp_path / "p.txt", tmp_path / "m.h5"]
    assert silk_sfm("match", *stores, "--device", "cpu").err == (
        "silk-sfm match: error: The pairs `a-b.png` `c.png` and `a/b.png` `c.png` would share one "
        "group in a match store, because `/` is written as `-`. Rename an image.\n"
    )


def test_outputs_that_cannot_be_written(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    done = silk_sfm("pairs", inputs / "photos", tmp_path / "folder")
    assert done.err == (
        f"silk-sfm pairs: error: Cannot write the pair list {tmp_path}/folder: Is a directory. "
        "Choose another file.\n"
    )
    assert extract(inputs, inputs / "photos", tmp_path / "folder").err == (
        f"silk-sfm extract: error: {tmp_path}/folder is a folder, not an HDF5 file.\n"
    )
    done = extract(inputs, inputs / "photos", tmp_path / "folder", "--overwrite")
    assert done.err.startswith(f"silk-sfm extract: error: Cannot write {tmp_path}/folder: Is a dir")
    done = extract(inputs, inputs / "photos", tmp_path / "file" / "f.h5")
    assert f"Cannot write {tmp_path}/file/f.h5.shards: Not a directory." in done.err
    done = silk_sfm("reconstruct", inputs / "photos", tmp_path / "file")
    assert done.err == (
        f"silk-sfm reconstruct: error: Cannot create {tmp_path}/file: File exists.\n"
    )
    stores = [inputs / "f.h5", inputs / "f.h5", tmp_path / "file"]
    assert silk_sfm("map", inputs / "photos", *stores).err == (
        f"silk-sfm map: error: Cannot create {tmp_path}/file: File exists.\n"
    )


# ---------- stores ----------


def test_a_corrupted_store_is_named(inputs: Path, tmp_path: Path) -> None:
    corrupted = tmp_path / "f.h5"
    corrupted.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    (tmp_path / "p.txt").write_text("000.png 001.png\n")
    for done in (
        extract(inputs, inputs / "photos", corrupted),
        silk_sfm("pairs", corrupted, tmp_path / "p2.txt"),
        silk_sfm("match", corrupted, tmp_path / "p.txt", tmp_path / "m.h5", "--device", "cpu"),
        silk_sfm("show", corrupted),
    ):
        assert (done.status, done.out) == (1, "")
        assert f"error: {corrupted} is damaged or no HDF5 file (" in done.err
        assert done.err.endswith("). Remove it and make it again.\n")
        assert done.err.count("\n") == 1


def test_a_corrupted_shard_is_named(inputs: Path, tmp_path: Path) -> None:
    shutil.copy(inputs / "f.h5", tmp_path)
    shutil.copytree(inputs / "f.h5.shards", tmp_path / "f.h5.shards")
    shard = tmp_path / "f.h5.shards" / "000001.h5"
    shard.write_bytes(shard.read_bytes()[:1000])
    (tmp_path / "p.txt").write_text("000.png 001.png\n")
    stores = [tmp_path / "f.h5", tmp_path / "p.txt", tmp_path / "m.h5"]
    done = silk_sfm("match", *stores, "--device", "cpu")
    assert done.status == 1
    assert done.err.startswith(f"silk-sfm match: error: {shard} is damaged or no HDF5 file (")


def test_stores_in_the_wrong_place(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("000.png 001.png\n")
    features, matches = inputs / "f.h5", tmp_path / "m.h5"
    assert silk_sfm("match", features, tmp_path / "p.txt", matches, "--device", "cpu").status == 0
    done = silk_sfm("verify", matches, matches, tmp_path / "v.h5")
    assert done.err == (
        f"silk-sfm verify: error: {matches} was made from other features than {matches}. Run "
        "the stage that made it again, or give the feature store from which it was made.\n"
    )
    done = silk_sfm("verify", features, features, tmp_path / "v.h5")
    assert done.err == (
        f"silk-sfm verify: error: {features} was made from other features than {features}. Run "
        "the stage that made it again, or give the feature store from which it was made.\n"
    )
    assert silk_sfm("verify", features, matches, tmp_path / "v.h5").status == 0


def test_foreign_features_without_a_size(inputs: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        for name in ("000.png", "001.png"):
            file.create_group(name)["keypoints"] = np.zeros((3, 2), np.float32)
            file[name]["descriptors"] = np.zeros((8, 3), np.float32)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("000.png/001.png")
        group["matches0"] = np.full(3, -1)
        group["matching_scores0"] = np.zeros(3)
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 160 120 150 150 80 60\n")
    stores = [foreign, tmp_path / "m.h5", tmp_path / "v.h5"]
    done = silk_sfm("verify", *stores, "--intrinsics", tmp_path / "cameras.txt")
    assert done.err == (
        f"silk-sfm verify: error: {foreign}: features of `000.png` are damaged: no `image_size`.\n"
    )
    assert silk_sfm("verify", *stores).status == 0
