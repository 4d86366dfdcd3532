"""Photos to verified matches through the command line: summaries, resuming, refusals."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from in_process import Outcome, silk_sfm
from small_photos import write_small_photos, write_small_weights

from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore

TOP_K = 300


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six overlapping photos and small weights."""
    root = tmp_path_factory.mktemp("inputs")
    write_small_photos(root / "photos", 6)
    write_small_weights(root / "micro.safetensors")
    return root


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores of all stages for four of the photos; tests copy it before they change it."""
    root = tmp_path_factory.mktemp("finished")
    add_photos(inputs, root, 4)
    for outcome in run_all(inputs, root):
        assert outcome.status == 0
    return root


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished folder."""
    shutil.copytree(finished, tmp_path / "work")
    return tmp_path / "work"


def add_photos(inputs: Path, root: Path, n_photos: int) -> None:
    """Have the first photos in root/photos."""
    (root / "photos").mkdir(exist_ok=True)
    for photo in sorted((inputs / "photos").iterdir())[:n_photos]:
        shutil.copy(photo, root / "photos")


def extract(inputs: Path, root: Path, *flags: object) -> Outcome:
    weights = ["--weights", inputs / "micro.safetensors", "--device", "cpu"]
    return silk_sfm(
        "extract", root / "photos", root / "f.h5", "--top-k", TOP_K, "--no-refine", *weights, *flags
    )


def pairs(root: Path, *flags: object) -> Outcome:
    return silk_sfm("pairs", root / "f.h5", root / "pairs.txt", *flags)


def match(root: Path, *flags: object) -> Outcome:
    stores = [root / "f.h5", root / "pairs.txt", root / "m.h5"]
    return silk_sfm("match", *stores, "--device", "cpu", "--matcher", "mutual", *flags)


def verify(root: Path, *flags: object) -> Outcome:
    model = ["--model", "homography"]
    return silk_sfm("verify", root / "f.h5", root / "m.h5", root / "v.h5", *model, *flags)


def run_all(inputs: Path, root: Path, *flags: object) -> list[Outcome]:
    return [
        extract(inputs, root, *flags),
        pairs(root, *flags),
        match(root, *flags),
        verify(root, *flags),
    ]


def n_matches(root: Path) -> int:
    with MatchStore(root / "m.h5") as store:
        return sum(map(len, store.values()))


def n_inliers(root: Path) -> int:
    with VerifiedStore(root / "v.h5") as store:
        return sum(len(geometry.inliers) for geometry in store.values())


# ---------- one line a stage ----------


def test_windows_of_one_picture_match_where_they_overlap(finished: Path) -> None:
    with FeatureStore(finished / "f.h5") as features, VerifiedStore(finished / "v.h5") as verified:
        assert verified.pairs(features.names)[0] == ("000.png", "001.png")
        geometry = verified["000.png", "001.png"]
        rows, columns = geometry.inliers.indices.T
        moved = features.keypoints("000.png")[rows] - features.keypoints("001.png")[columns]
    assert len(geometry.inliers) > 100
    np.testing.assert_array_equal(moved, np.tile([6, 11], (len(moved), 1)))  # as they were cut
    np.testing.assert_allclose(
        geometry.matrix / geometry.matrix[2, 2], [[1, 0, -6], [0, 1, -11], [0, 0, 1]], atol=1e-3
    )


def test_summaries(inputs: Path, tmp_path: Path) -> None:
    add_photos(inputs, tmp_path, 4)
    outcomes = run_all(inputs, tmp_path)
    matches, inliers = n_matches(tmp_path), n_inliers(tmp_path)
    assert [outcome.out for outcome in outcomes] == [
        f"extract: 4 images, 1200 keypoints (300 each) -> {tmp_path}/f.h5\n",
        f"pairs: 6 pairs of 4 images -> {tmp_path}/pairs.txt\n",
        f"match: 6 pairs, {matches} matches ({matches / 6:.0f} each) -> {tmp_path}/m.h5\n",
        f"verify: 6 pairs, {inliers} inliers ({inliers / 6:.0f} each) -> {tmp_path}/v.h5\n",
    ]
    assert [(outcome.status, outcome.err) for outcome in outcomes] == [(0, "")] * 4


def test_running_again_reuses_everything(inputs: Path, work: Path) -> None:
    before = (work / "f.h5").read_bytes(), (work / "v.h5").read_bytes()
    assert [outcome.out for outcome in run_all(inputs, work)] == [
        f"extract: 4 images, 4 of them reused -> {work}/f.h5\n",
        f"pairs: 6 pairs of 4 images -> {work}/pairs.txt\n",
        f"match: 6 pairs, 6 of them reused -> {work}/m.h5\n",
        f"verify: 6 pairs, 6 of them reused -> {work}/v.h5\n",
    ]
    assert ((work / "f.h5").read_bytes(), (work / "v.h5").read_bytes()) == before


def test_photos_added_later_cost_only_themselves(inputs: Path, work: Path) -> None:
    matches, inliers = n_matches(work), n_inliers(work)
    add_photos(inputs, work, 6)
    outcomes = run_all(inputs, work)
    matches, inliers = n_matches(work) - matches, n_inliers(work) - inliers
    assert [outcome.out for outcome in outcomes] == [
        f"extract: 6 images, 4 of them reused, 600 keypoints (300 each) -> {work}/f.h5\n",
        f"pairs: 15 pairs of 6 images -> {work}/pairs.txt\n",
        f"match: 15 pairs, 6 of them reused, {matches} matches ({matches / 9:.0f} each) -> "
        f"{work}/m.h5\n",
        f"verify: 15 pairs, 6 of them reused, {inliers} inliers ({inliers / 9:.0f} each) -> "
        f"{work}/v.h5\n",
    ]


def test_quiet_prints_nothing(inputs: Path, tmp_path: Path) -> None:
    add_photos(inputs, tmp_path, 3)
    assert run_all(inputs, tmp_path, "-q") == [Outcome(0, "", "")] * 4
    assert run_all(inputs, tmp_path, "--quiet") == [Outcome(0, "", "")] * 4


def test_pairs_from_the_folder_and_in_sequence(inputs: Path, work: Path) -> None:
    assert silk_sfm("pairs", work / "photos", work / "p.txt", "-q").status == 0
    assert (work / "p.txt").read_text() == (work / "pairs.txt").read_text()
    done = pairs(work, "--pairing", "sequential", "--window", 1)
    assert done.out == f"pairs: 3 pairs of 4 images -> {work}/pairs.txt\n"


# ---------- other settings ----------


def test_other_settings_are_refused_and_both_shown(inputs: Path, work: Path) -> None:
    before = (work / "f.h5").read_bytes()
    done = extract(inputs, work, "--top-k", 200, "--max-size", 80)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"silk-sfm extract: error: {work}/f.h5 was made with other settings (max_size: made with "
        "1600, now 80; top_k: made with 300, now 200). Use those, choose another file, or "
        "--overwrite to start anew.\n"
    )
    assert (work / "f.h5").read_bytes() == before
    assert match(work, "--ratio", 0.5).err == (
        f"silk-sfm match: error: {work}/m.h5 was made with other settings (ratio: made with 1.0, "
        "now 0.5). Use those, choose another file, or --overwrite to start anew.\n"
    )
    assert "(made by mutual, now double-softmax)" in match(work, "--matcher", "double-softmax").err
    assert "(seed: made with 0, now 7)" in verify(work, "--seed", 7).err


def test_settings_that_change_no_result_are_no_other_settings(inputs: Path, work: Path) -> None:
    assert extract(inputs, work, "--tile-pixels", 5000).status == 0
    assert verify(work, "--threads", 1).status == 0


def test_overwrite_starts_anew(inputs: Path, work: Path) -> None:
    done = extract(inputs, work, "--top-k", 200, "--overwrite")
    assert done == Outcome(0, f"extract: 4 images, 800 keypoints (200 each) -> {work}/f.h5\n", "")
    with FeatureStore(work / "f.h5") as store:
        assert [store.count(name) for name in store.names] == [200] * 4


def test_stages_after_other_features_are_refused(inputs: Path, work: Path) -> None:
    assert extract(inputs, work, "--top-k", 200, "--overwrite").status == 0
    assert verify(work).err == (
        f"silk-sfm verify: error: {work}/m.h5 was made from other features than {work}/f.h5. Run "
        "the stage that made it again, or give the feature store from which it was made.\n"
    )
    assert " was made with other settings (features: made with " in match(work).err
    assert match(work, "--overwrite").status == 0
    assert " was made with other settings (features: made with " in verify(work).err
    assert verify(work, "--overwrite").status == 0


def test_a_failed_first_run_does_not_bind_the_settings(inputs: Path, work: Path) -> None:
    add_photos(inputs, work, 4)
    masks = ["--masks", work / "none"]
    (work / "f.h5").unlink()
    shutil.rmtree(work / "f.h5.shards")
    assert extract(inputs, work, *masks).err == (
        f"silk-sfm extract: error: No mask folder {work}/none.\n"
    )
    assert not (work / "f.h5").exists()
    photos = work / "photos"
    photos.rename(work / "good")
    photos.mkdir()
    (photos / "bad.png").write_bytes(b"")
    assert extract(inputs, work, "--max-size", 100).status == 3
    assert (work / "f.h5").exists()
    shutil.rmtree(photos)
    (work / "good").rename(photos)
    assert extract(inputs, work).status == 0


# ---------- packed and foreign stores ----------


def test_packed_stores_go_through_all_stages(inputs: Path, work: Path) -> None:
    for name in ("f.h5", "m.h5", "v.h5"):
        done = silk_sfm("pack", work / name)
        assert done.status == 0
        assert done.out.startswith("pack: ")
        assert done.out.endswith(f" MB in one file -> {work / name}\n")
        assert not (work / f"{name}.shards").exists()
    assert [outcome.out.split(" -> ")[0] for outcome in run_all(inputs, work)] == [
        "extract: 4 images, 4 of them reused",
        "pairs: 6 pairs of 4 images",
        "match: 6 pairs, 6 of them reused",
        "verify: 6 pairs, 6 of them reused",
    ]


def test_pack_refuses_what_it_cannot_pack(work: Path, tmp_path: Path) -> None:
    shutil.move(work / "f.h5", tmp_path / "alone.h5")
    assert silk_sfm("pack", tmp_path / "alone.h5").err == (
        f"silk-sfm pack: error: No folder {tmp_path}/alone.h5.shards, to which {tmp_path}/alone.h5 "
        "leads. Was the store moved alone?\n"
    )
    assert "pairs.txt is damaged or no HDF5 file" in silk_sfm("pack", work / "pairs.txt").err


def test_nan_in_a_foreign_store_names_store_and_image(work: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file, FeatureStore(work / "f.h5") as features:
        for name in ("000.png", "001.png"):
            group = file.create_group(name)
            group["keypoints"] = features.keypoints(name)
            group["descriptors"] = features[name].descriptors.T
            group["image_size"] = np.array(features.image_size(name))
        file["001.png/descriptors"][3, 5] = np.nan
    (tmp_path / "pairs.txt").write_text("000.png 001.png\n")
    stores = [foreign, tmp_path / "pairs.txt", tmp_path / "m.h5"]
    assert silk_sfm("match", *stores, "--device", "cpu", "--matcher", "mutual").err == (
        f"silk-sfm match: error: {foreign}: `001.png`: descriptors hold NaN or infinity; "
        "extract the image again.\n"
    )
