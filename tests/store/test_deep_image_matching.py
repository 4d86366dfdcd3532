"""Files of deep-image-matching: recorded ones are read, ours come back as they were."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest
from shared_data import shared

from silk_sfm.cli.main import DONE, FAILED, main
from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.store import FeatureStore, FeatureWriter, MatchStore, MatchWriter, Provenance
from silk_sfm.store.deep_image_matching import dim_names, read_dim_features, read_dim_matches

NAMES = ("DSC_0001.jpg", "DSC_0002.jpg", "my photo.jpg")


def features_of(n_keypoints: int, size: tuple[int, int], seed: int) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(n_keypoints, 16))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(
        rng.uniform(0, size, (n_keypoints, 2)).astype(np.float32),
        rng.uniform(size=n_keypoints).astype(np.float32),
        descriptors.astype(np.float32),
        size,
    )


IMAGES = {
    "left/a b.jpg": features_of(12, (4001, 3001), 0),
    "right/c.jpg": features_of(9, (640, 480), 1),
    "right/empty.jpg": LocalFeatures.empty(16, (640, 480)),
}
MATCHES = Matches(np.int32([[0, 3], [2, 1], [11, 8]]), np.float32([0.5, 0.25, 1]))


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """A folder with features.h5 and matches.h5 of IMAGES, in our own layout."""
    with FeatureWriter(tmp_path / "f.h5", Provenance("t", {}, {}), precision="float32") as store:
        for name, features in IMAGES.items():
            store.add(name, features)
    with FeatureStore(tmp_path / "f.h5") as features:
        made = Provenance("t", {}, {"features": features.digest})
    with MatchWriter(tmp_path / "m.h5", made) as store:
        store.add_pair(("left/a b.jpg", "right/c.jpg"), MATCHES, 12)
        store.add_pair(("left/a b.jpg", "right/empty.jpg"), Matches.empty(), 12)
    return tmp_path


def export(folder: Path, *flags: str) -> int:
    stores = [str(folder / name) for name in ("f.h5", "m.h5", "dim")]
    return main(["export-dim", *stores, *flags])


# ---------- writing ----------


def test_layout(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(stores) == DONE
    assert capsys.readouterr().out == f"export-dim: 3 images, 1 pairs -> {stores / 'dim'}\n"
    with h5py.File(stores / "dim" / "features.h5") as file:
        assert sorted(file) == ["a b.jpg", "c.jpg", "empty.jpg"]
        group = file["a b.jpg"]
        assert {name: group[name].shape for name in group} == {
            "keypoints": (12, 2),
            "descriptors": (16, 12),
            "scores": (12,),
            "tile_idx": (12,),
            "image_size": (2,),
        }
        assert {group[name].dtype for name in group} == {np.dtype(np.float32)}
        assert group["image_size"][()].tolist() == [3001, 4001]  # (H, W)
        np.testing.assert_array_equal(group["keypoints"], IMAGES["left/a b.jpg"].keypoints)
        np.testing.assert_array_equal(group["descriptors"], IMAGES["left/a b.jpg"].descriptors.T)
    with h5py.File(stores / "dim" / "matches.h5") as file:
        assert sorted(file) == ["a b.jpg"]
        assert sorted(file["a b.jpg"]) == ["c.jpg"]  # pairs without matches are absent
        assert file["a b.jpg/c.jpg"].dtype == np.int64
        np.testing.assert_array_equal(file["a b.jpg/c.jpg"], MATCHES.indices)


def test_there_and_back(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(stores, "-q") == DONE
    back = [str(stores / name) for name in ("f2.h5", "m2.h5")]
    assert main(["import-dim", str(stores / "dim"), *back]) == DONE
    assert capsys.readouterr().out == (f"import-dim: 3 images, 1 pairs -> {back[0]}, {back[1]}\n")
    with FeatureStore(Path(back[0])) as features, MatchStore(Path(back[1])) as matches:
        assert features.names == ["a b.jpg", "c.jpg", "empty.jpg"]
        for name, expected in IMAGES.items():
            found = features[Path(name).name]
            assert found.image_size == expected.image_size
            np.testing.assert_array_equal(found.keypoints, expected.keypoints)
            np.testing.assert_array_equal(found.scores, expected.scores)
            np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=1e-6)
        assert matches.pairs(features.names) == [("a b.jpg", "c.jpg")]
        np.testing.assert_array_equal(matches["a b.jpg", "c.jpg"].indices, MATCHES.indices)
    assert main(["import-dim", str(stores / "dim"), *back, "-q"]) == DONE  # again: nothing to do


# ---------- recorded files ----------


def test_recorded_files_are_read(caplog: pytest.LogCaptureFixture) -> None:
    folder = shared("reference_others", "dim")
    half = dict(read_dim_features(folder / "features.h5"))
    full = dict(read_dim_features(folder / "features_float32.h5"))
    assert tuple(half) == tuple(full) == NAMES
    assert [len(each) for each in full.values()] == [12, 9, 10]
    assert full["DSC_0001.jpg"].image_size == (640, 480)
    assert full["my photo.jpg"].image_size == (4000, 3001)
    assert half["my photo.jpg"].image_size == (4000, 3000)  # what float16 leaves of 3001
    (warned,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warned.getMessage().endswith(
        "`my photo.jpg` is stored as float16; its size and keypoints are rounded to 2 px."
    )
    for name in NAMES:
        np.testing.assert_allclose(half[name].keypoints, full[name].keypoints, rtol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(full[name].descriptors, axis=1), 1, atol=1e-5)
    verified = dict(read_dim_matches(folder / "matches.h5"))
    assert {pair: len(matches) for pair, matches in verified.items()} == {
        (NAMES[0], NAMES[1]): 6,
        (NAMES[0], NAMES[2]): 6,
        (NAMES[1], NAMES[2]): 6,
    }
    with h5py.File(folder / "matches.h5") as file:
        rows = file[NAMES[0]][NAMES[1]][()]
    assert set(map(tuple, verified[NAMES[0], NAMES[1]].indices)) == set(map(tuple, rows))


def test_recorded_files_are_imported(tmp_path: Path) -> None:
    folder = str(shared("reference_others", "dim"))
    files = [str(tmp_path / name) for name in ("f.h5", "m.h5")]
    assert main(["import-dim", folder, *files, "-q"]) == DONE
    with FeatureStore(Path(files[0])) as features, MatchStore(Path(files[1])) as matches:
        assert len(matches.pairs(features.names)) == 3


# ---------- errors ----------


def test_a_keypoint_keeps_its_first_match(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "matches.h5"
    with h5py.File(path, "w") as file:
        file["a.jpg/b.jpg"] = np.array([[4, 1], [2, 9], [4, 7], [0, 9]])
    ((pair, found),) = read_dim_matches(path)
    assert pair == ("a.jpg", "b.jpg")
    assert found.indices.tolist() == [[0, 9], [2, 9], [4, 1]]
    assert "`a.jpg` and `b.jpg`: 1 matches left out, of keypoints that" in caplog.text


def test_equal_file_names_are_refused() -> None:
    with pytest.raises(StoreError) as caught:
        dim_names(["a/x.jpg", "b/x.jpg"])
    assert str(caught.value) == (
        "`a/x.jpg` and `b/x.jpg` would share one group: deep-image-matching knows images by their "
        "file names alone. Rename one."
    )


def test_export_refuses_to_replace(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(stores, "-q") == DONE
    assert export(stores) == FAILED
    assert "holds features.h5 or matches.h5. Add --overwrite" in capsys.readouterr().err
    assert export(stores, "--overwrite", "-q") == DONE


def test_inputs_are_not_written_over(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names of deep-image-matching are those that our own stores usually have."""
    assert export(stores, "-q") == DONE
    dim = stores / "dim"
    before = (dim / "features.h5").read_bytes()
    stores_there = [str(dim / "features.h5"), str(dim / "matches.h5")]
    assert main(["import-dim", str(dim), *stores_there, "--overwrite"]) == FAILED
    assert "features.h5 is read here. Choose another file to write." in capsys.readouterr().err
    assert main(["export-dim", *stores_there, str(dim), "--overwrite"]) == FAILED
    assert "features.h5 is read here. Choose another file to write." in capsys.readouterr().err
    assert (dim / "features.h5").read_bytes() == before


@pytest.mark.parametrize("wrong", [[9, 0], [0, 12], [0, -1]])
def test_files_of_different_runs(
    stores: Path, capsys: pytest.CaptureFixture[str], wrong: list[int]
) -> None:
    assert export(stores, "-q") == DONE
    with h5py.File(stores / "dim" / "matches.h5", "a") as file:
        file["c.jpg/a b.jpg"] = np.array([[1, 1], wrong])
    assert main(["import-dim", str(stores / "dim"), str(stores / "x"), str(stores / "y")]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm import-dim: error: {stores / 'dim' / 'matches.h5'}: `c.jpg` and `a b.jpg` have "
        "matches of keypoints that are not in features.h5. The two files are of different runs.\n"
    )


def test_another_source_is_not_mixed_in(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(stores, "-q") == DONE
    command = ["import-dim", str(stores / "dim"), str(stores / "x.h5"), str(stores / "y.h5"), "-q"]
    assert main(command) == DONE
    with h5py.File(stores / "dim" / "features.h5", "a") as file:
        file["c.jpg/scores"][0] = 7
    assert main(command) == FAILED
    assert "x.h5 was made with other settings" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == DONE


def test_other_files(tmp_path: Path) -> None:
    missing, text, other = (tmp_path / name for name in ("none.h5", "text.h5", "other.h5"))
    with pytest.raises(StoreError) as caught:
        list(read_dim_features(missing))
    assert str(caught.value) == f"No file {missing}. Give a file of deep-image-matching."
    text.write_text("text")
    with pytest.raises(StoreError, match="is damaged or no file of deep-image-matching"):
        list(read_dim_matches(text))
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(StoreError) as caught:
        list(read_dim_features(other))
    assert str(caught.value) == (
        f"{other} is no features.h5 of deep-image-matching: `x` has no keypoints."
    )
    with pytest.raises(StoreError) as caught:
        list(read_dim_matches(other))
    assert str(caught.value) == f"{other} is no matches.h5 of deep-image-matching: `x`."
