"""COLMAP databases out of stores, and what existing databases and models tell."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from many_view_scene import TRUE, ManyViewScene, many_view_scene

from silk_sfm.cli.main import DONE, FAILED, main
from silk_sfm.colmap.cameras import Camera, CameraAssignment
from silk_sfm.colmap.database import write_database, write_images
from silk_sfm.colmap.intrinsics import read_intrinsics
from silk_sfm.colmap.mapping import MappingOptions, run_mapper
from silk_sfm.colmap.model import read_model
from silk_sfm.features import LocalFeatures
from silk_sfm.pairs import PairList
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance, VerifiedWriter

SCENE = many_view_scene(n_images=5, n_points=120)


@dataclass(frozen=True)
class Stores:
    """A folder with features.h5 and verified.h5 of SCENE."""

    folder: Path

    @property
    def features(self) -> str:
        return str(self.folder / "features.h5")

    @property
    def verified(self) -> str:
        return str(self.folder / "verified.h5")

    @property
    def database(self) -> Path:
        return self.folder / "out.db"


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    made = Stores(tmp_path)
    with FeatureWriter(Path(made.features), Provenance("test", {}, {})) as features:
        for name, xy in SCENE.keypoints.items():
            features.add(name, features_of(xy))
    with FeatureStore(Path(made.features)) as features:
        provenance = Provenance("test", {}, {"features": features.digest})
    with VerifiedWriter(Path(made.verified), provenance) as verified:
        for a, b, geometry in SCENE.pairs("fundamental"):
            verified.add_pair((a, b), geometry, len(SCENE.points))
    return made


def features_of(xy: np.ndarray) -> LocalFeatures:
    descriptors = np.zeros((len(xy), 4), np.float32)
    return LocalFeatures(xy, np.ones(len(xy), np.float32), descriptors, (TRUE.width, TRUE.height))


def write_cameras_txt(folder: Path) -> Path:
    path = folder / "cameras.txt"
    path.write_text(f"1 SIMPLE_RADIAL 800 600 {' '.join(map(str, TRUE.params))}\n")
    return path


# ---------- export ----------


def test_an_exported_database_maps(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    intrinsics = str(write_cameras_txt(stores.folder))
    command = ["export-colmap", stores.features, stores.verified, str(stores.database)]
    assert main([*command, "--intrinsics", intrinsics]) == DONE
    assert capsys.readouterr().out == (
        f"export-colmap: 5 images, 600 keypoints, 10 pairs with 1200 inliers -> {stores.database}\n"
    )
    result = run_mapper(stores.database, stores.folder, stores.folder, MappingOptions(), True)
    assert result.model.names == SCENE.names
    assert len(result.model.points) == len(SCENE.points)


def test_without_photos_the_focal_length_is_a_guess(stores: Stores) -> None:
    command = ["export-colmap", stores.features, stores.verified, str(stores.database), "-q"]
    assert main([*command, "--focal-factor", "1.5", "--camera-model", "PINHOLE"]) == DONE
    with pycolmap.Database.open(stores.database) as database:
        (camera,) = database.read_all_cameras()
        assert camera.params.tolist() == [1200, 1200, 400, 300]
        assert not camera.has_prior_focal_length
    assert main([*command, "--overwrite", "--camera-mode", "per-image"]) == DONE
    with pycolmap.Database.open(stores.database) as database:
        assert database.num_cameras() == 5


def test_export_refuses(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    stores.database.write_text("mine")
    command = ["export-colmap", stores.features, stores.verified, str(stores.database)]
    assert main(command) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm export-colmap: error: There is a {stores.database} already. "
        "Add --overwrite to replace it.\n"
    )
    assert stores.database.read_text() == "mine"
    assert main([*command, "--images", str(stores.folder / "none"), "--overwrite"]) == FAILED
    assert stores.database.read_text() == "mine"


# ---------- import ----------


def imported(source: Path, out: Path, *flags: str) -> tuple[list[str], PairList]:
    assert main(["import-colmap", str(source), str(out), *flags]) == DONE
    names = (out / "image_list.txt").read_text().splitlines()
    return names, PairList.read(out / "pairs.txt", known=frozenset(names))


def test_import_gives_back_what_was_exported(
    stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    intrinsics = str(write_cameras_txt(stores.folder))
    command = ["export-colmap", stores.features, stores.verified, str(stores.database), "-q"]
    assert main([*command, "--intrinsics", intrinsics]) == DONE
    out = stores.folder / "imported"
    names, pairs = imported(stores.database, out)
    assert capsys.readouterr().out == (f"import-colmap: 5 images, 1 cameras, 10 pairs -> {out}\n")
    assert names == SCENE.names
    assert list(pairs) == list(PairList.exhaustive(SCENE.names))
    known = read_intrinsics(out)
    assert {known.cameras[number] for number in known.id_of.values()} == {TRUE}
    assert sorted(known.id_of) == SCENE.names


def test_weak_pairs_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "database.db"
    write(path, SCENE, [("view 00.jpg", "view 01.jpg", 30), ("view 02.jpg", "view 01.jpg", 14)])
    assert list(imported(path, tmp_path / "a")[1]) == [("view 00.jpg", "view 01.jpg")]
    assert list(imported(path, tmp_path / "b", "--least-shared", "14")[1]) == [
        ("view 00.jpg", "view 01.jpg"),
        ("view 01.jpg", "view 02.jpg"),
    ]


def write(path: Path, scene: ManyViewScene, pairs: list[tuple[str, str, int]]) -> None:
    rows = []
    for a, b, n_inliers in pairs:
        geometry = scene.geometry(a, b, "fundamental")
        few = geometry.inliers.select(np.arange(n_inliers))
        rows.append((a, b, type(geometry)("fundamental", geometry.matrix, few, 1.0, n_inliers)))
    write_database(path, scene.names, scene.cameras(TRUE), scene.keypoints.__getitem__, rows)


def test_raw_matches_count_when_nothing_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "database.db"
    write(path, SCENE, [("view 00.jpg", "view 01.jpg", 30), ("view 01.jpg", "view 02.jpg", 20)])
    with pycolmap.Database.open(path) as database:
        database.clear_two_view_geometries()
    assert len(imported(path, tmp_path / "out")[1]) == 2


def test_cameras_that_share_a_size_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guess = Camera("PINHOLE", 800, 600, (500.125, 501.0, 400.0, 300.0), "guess")
    cameras = CameraAssignment((TRUE, guess), {"b c/1.jpg": 0, "a.jpg": 1})
    write_images(tmp_path / "database.db", ["b c/1.jpg", "a.jpg"], cameras)
    names, pairs = imported(tmp_path / "database.db", tmp_path / "out")
    assert names == ["a.jpg", "b c/1.jpg"]
    assert len(pairs) == 0
    assert "2 cameras (1 with a guessed focal length), 0 pairs" in capsys.readouterr().out
    assert (
        (tmp_path / "out" / "cameras.txt")
        .read_text()
        .endswith("1 SIMPLE_RADIAL 800 600 600 400 300 0\n2 PINHOLE 800 600 500.125 501 400 300\n")
    )
    known = read_intrinsics(tmp_path / "out")
    assert known.cameras[known.id_of["b c/1.jpg"]] == TRUE
    assert known.cameras[known.id_of["a.jpg"]].params == guess.params


def test_a_model_gives_its_poses_and_pairs_that_see_the_same(tmp_path: Path) -> None:
    write_database(
        tmp_path / "database.db",
        SCENE.names,
        SCENE.cameras(TRUE),
        SCENE.keypoints.__getitem__,
        SCENE.pairs("fundamental"),
    )
    run_mapper(tmp_path / "database.db", tmp_path, tmp_path, MappingOptions(), True)
    model_dir = tmp_path / "sparse" / "0"
    names, pairs = imported(model_dir, tmp_path / "out", "--least-shared", "100")
    assert names == SCENE.names
    assert list(pairs) == list(PairList.exhaustive(SCENE.names))
    before, after = read_model(model_dir), read_model(tmp_path / "out")
    for name in SCENE.names:
        np.testing.assert_allclose(after.poses[name].rotation, before.poses[name].rotation)
        np.testing.assert_allclose(after.poses[name].centre, before.poses[name].centre)
    assert imported(model_dir, tmp_path / "none", "--least-shared", "121")[1].pairs == ()


def test_import_error_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(source: Path) -> str:
        assert main(["import-colmap", str(source), str(tmp_path / "out")]) == FAILED
        return capsys.readouterr().err.removeprefix("silk-sfm import-colmap: error: ")

    missing = tmp_path / "none"
    assert error(missing) == f"No {missing}. Give a COLMAP database or the folder of a model.\n"
    text = tmp_path / "text.db"
    text.write_text("no database" * 100)
    assert error(text).startswith(f"{text} is no COLMAP database or model that can be read: ")
    empty = tmp_path / "empty.db"
    with pycolmap.Database.open(empty):
        pass
    assert error(empty) == f"{empty} holds no images.\n"
    folder = tmp_path / "folder"
    folder.mkdir()
    assert error(folder).startswith(f"{folder} is no COLMAP database or model that can be read: ")
    assert not (tmp_path / "out").exists()


def test_import_refuses_to_replace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "database.db", SCENE, [])
    out = tmp_path / "out"
    imported(tmp_path / "database.db", out)
    capsys.readouterr()
    assert main(["import-colmap", str(tmp_path / "database.db"), str(out)]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm import-colmap: error: {out} holds an import or a model already. "
        "Add --overwrite to replace it.\n"
    )
    imported(tmp_path / "database.db", out, "--overwrite")


def test_import_keeps_the_model_that_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "database.db", SCENE, [])
    imported(tmp_path / "database.db", tmp_path / "model")
    for name in ("image_list.txt", "pairs.txt", "cameras.txt"):
        (tmp_path / "model" / name).unlink()
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    command = ["import-colmap", str(tmp_path / "model"), str(tmp_path / "model")]
    capsys.readouterr()
    assert main([*command, "--overwrite"]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm import-colmap: error: {tmp_path}/model is what is read. "
        "Give another folder to write.\n"
    )
    other = ["import-colmap", str(tmp_path / "database.db"), str(tmp_path / "model")]
    assert main(other) == FAILED
    assert "holds an import or a model already" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before


def test_import_leaves_a_database_of_an_older_colmap_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "database.db"
    write(path, SCENE, [("view 00.jpg", "view 01.jpg", 30)])
    with closing(sqlite3.connect(path)) as database:
        for table in ("frame_data", "frames", "rig_sensors", "rigs", "pose_priors"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 3900")
        database.commit()
    before = path.read_bytes()
    names, pairs = imported(path, tmp_path / "out")
    assert names == SCENE.names
    assert len(pairs) == 1
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["database.db", "out"]
