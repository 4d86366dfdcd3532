from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from struct import pack

import numpy as np
import pycolmap
import pytest
from rendered_room import export_truth, room, room_views
from shared_data import shared

from silk_sfm.cli.main import main
from silk_sfm.errors import ConfigError, DatasetError, ReconstructionError
from silk_sfm.evaluation.model_pairs import find_scenes, scene_pairs
from silk_sfm.evaluation.pose import PoseOptions, PosePairs, imc_maa, published_key
from silk_sfm.geometry.pose import relative_pose
from silk_sfm.synthetic import PinholeView, write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PinholeView]]:
    """Three photos and a list of their pairs in SuperGlue's format."""
    data = tmp_path_factory.mktemp("pose")
    views = room_views(3, step=0.2)
    write_photos(data, views, room())
    pairs = [(0, 1), (1, 2), (0, 2)]
    (data / "pairs_with_gt.txt").write_text(
        "".join(f"{line(views[i], views[j])}\n" for i, j in pairs)
    )
    return data, views


def line(a: PinholeView, b: PinholeView) -> str:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = relative_pose(
        (a.rotation, a.translation), (b.rotation, b.translation)
    )
    numbers = [*a.intrinsics.ravel(), *b.intrinsics.ravel(), *pose.ravel()]
    return f"{a.name} {b.name} 0 0 " + " ".join(map(str, numbers))


def protocol(photos: tuple[Path, Sequence[PinholeView]], **options: object) -> PosePairs:
    data, _ = photos
    return PosePairs(
        data,
        data / "out",
        PoseOptions(pair_file=data / "pairs_with_gt.txt", **options),  # type: ignore[arg-type]
    )


def test_true_keypoints_score_full_marks(
    photos: tuple[Path, list[PinholeView]], tmp_path: Path
) -> None:
    made = protocol(photos, estimators=("opencv-ransac", "magsac"), thresholds_px=(0.5, 1.0))
    (job,) = made.jobs()
    assert len(job.pairs) == 3
    views = {view.name: view for view in photos[1]}
    rows = made.score(job, export_truth(tmp_path, views, job, noise_px=0.0, wrong=0.3), seed=0)
    assert [(row.estimator, row.threshold) for row in rows] == [
        (estimator, threshold)
        for estimator in ("opencv-ransac", "magsac")
        for threshold in ("0.5 px", "1 px")
    ]
    for row in rows:
        assert row.metrics["AUC@5"] > 97, row
        assert row.metrics["prec@5e-4"] == pytest.approx(70, abs=2)
        assert row.metrics["matches"] == 400
        assert row.metrics["pairs"] == 3
        assert (row.keypoints, row.image_size) == (400, "320x240")


def test_wrong_matches_score_nothing(
    photos: tuple[Path, list[PinholeView]], tmp_path: Path
) -> None:
    made = protocol(photos)
    (job,) = made.jobs()
    views = {view.name: view for view in photos[1]}
    (row,) = made.score(job, export_truth(tmp_path, views, job, noise_px=40, wrong=1.0), seed=0)
    assert row.metrics["AUC@5"] < 20
    assert row.metrics["prec@1e-4"] < 10


def test_a_row_per_scene_on_demand(photos: tuple[Path, list[PinholeView]], tmp_path: Path) -> None:
    made = protocol(photos, per_scene=True)
    assert {pair.scene for pair in made.pairs} == {"."}  # names without a folder
    made.pairs[2] = replace(made.pairs[2], scene="other")
    (job,) = made.jobs()
    views = {view.name: view for view in photos[1]}
    rows = made.score(job, export_truth(tmp_path, views, job, 0.0, 0.0), seed=0)
    assert [row.subset for row in rows] == ["overall", ".", "other"]
    assert [row.metrics["pairs"] for row in rows] == [3, 2, 1]


def test_maa_is_a_mean_over_scenes() -> None:
    """Pairs at 0.5 and 9.5 degrees: 10 and 1 of 10 thresholds; the one of b fails."""
    largest = np.array([0.5, 9.5, np.inf])
    assert imc_maa(largest, ["a", "a", "a"]) == pytest.approx(100 * 11 / 30)
    assert imc_maa(largest, ["a", "a", "b"]) == pytest.approx(100 * 11 / 20 / 2)


def test_the_command_measures_sift(photos: tuple[Path, list[PinholeView]], tmp_path: Path) -> None:
    """The whole way: photos, list, stores, table."""
    data, _ = photos
    pair_file = str(data / "pairs_with_gt.txt")
    command = ["evaluate", "pose", str(data), "--pair-file", pair_file, "--methods", "sift"]
    command += ["--estimators", "magsac", "--out", str(tmp_path), "--no-plots", "--repeats", "2"]
    assert main(command) == 0
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["method"] == "sift"]
    assert float(row["AUC@10"]) > 60
    assert float(row["AUC@20"]) > float(row["AUC@10"])
    assert row["repeats"] == "2"
    assert row["estimator"] == "magsac"


def test_images_that_are_missing_are_named(
    photos: tuple[Path, list[PinholeView]], tmp_path: Path
) -> None:
    text = (photos[0] / "pairs_with_gt.txt").read_text()
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"pairs\.txt line 1: no image .*0\.jpg\. Names in the"):
        PosePairs(tmp_path, tmp_path, PoseOptions(pair_file=tmp_path / "pairs.txt"))
    with pytest.raises(DatasetError, match=r"pairs\.json is no pair list"):
        PosePairs(tmp_path, tmp_path, PoseOptions(pair_file=tmp_path / "pairs.json"))


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="at least one estimator"):
        PoseOptions(estimators=())
    with pytest.raises(ConfigError, match=r"^thresholds_px must be above 0, got \(0\.5, -1\)\.$"):
        PoseOptions(thresholds_px=(0.5, -1))


def test_published_rows_follow_the_data_set() -> None:
    assert published_key("scene0707_00/color/15.jpg") == "pose-scannet"
    assert published_key("scene0711_00_frame-001680.jpg") == "pose-scannet"
    assert published_key("Undistorted_SfM/0015/images/a.jpg") == "pose-megadepth"
    assert published_key("fountain-P11/images/0000.jpg") == ""


def write_scene(folder: Path, model: str = "PINHOLE", params: str = "300 300 160 120") -> None:
    (folder / "images").mkdir(parents=True)
    write_photos(folder / "images", room_views(2), room())
    truth = folder / "gt_sparse"
    truth.mkdir()
    (truth / "cameras.txt").write_text(f"1 {model} 320 240 {params}\n")
    (truth / "images.txt").write_text("1 1 0 0 0 0 0 0 1 0.jpg\n\n2 1 0 0 0 1 0 0 1 1.jpg\n\n")
    (truth / "points3D.txt").write_text("")


def test_pairs_of_a_model_count_pixels_from_the_centre(tmp_path: Path) -> None:
    write_scene(tmp_path / "hall")
    (scene,) = find_scenes(tmp_path, tmp_path / "out")
    (pair,) = scene_pairs(scene)
    assert (pair.a, pair.b, pair.scene) == ("hall/images/0.jpg", "hall/images/1.jpg", "hall")
    np.testing.assert_allclose(pair.camera_a[:2, 2], [159.5, 119.5])
    np.testing.assert_allclose(pair.pose[1], [1, 0, 0])
    (itself,) = find_scenes(tmp_path / "hall", tmp_path / "out")
    assert scene_pairs(itself)[0].a == "images/0.jpg"


def test_scenes_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^No scene in .*: a folder with `images` and a COLMAP"):
        find_scenes(tmp_path, tmp_path)
    write_scene(tmp_path / "hall", "SIMPLE_RADIAL", "300 160 120 0.1")
    (scene,) = find_scenes(tmp_path, tmp_path)
    with pytest.raises(DatasetError, match="gt_sparse: A camera is of the model SIMPLE_RADIAL"):
        scene_pairs(scene)
    cameras = tmp_path / "hall" / "gt_sparse" / "cameras.txt"
    cameras.write_text("1 PINHOLE 320 240 nan 300 160 120\n")
    with pytest.raises(ReconstructionError, match=r"gt_sparse cannot be used: .*VerifyParams"):
        scene_pairs(scene)
    cameras.write_text("1 PINHOLE 320 240 300 300 160 120\n")
    images = tmp_path / "hall" / "gt_sparse" / "images.txt"
    images.write_text("1 1 0 0 0 0 0 0 1 0.jpg\n\n")
    with pytest.raises(DatasetError, match=r"gt_sparse names 1 images; two are needed\.$"):
        scene_pairs(scene)
    images.write_text("1 1 0 0 0 0 0 0 1 0.jpg\n\n2 1 0 0 0 1 0 0 1 1.jpg\n\n")
    (tmp_path / "hall" / "images" / "1.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"names `1\.jpg`, which is not in .*\(1 images are miss"
    ):
        scene_pairs(scene)


def test_a_pose_that_is_not_finite_is_named(tmp_path: Path) -> None:
    """COLMAP refuses NaN in text; a binary model can hold it."""
    write_scene(tmp_path / "hall")
    truth = tmp_path / "hall" / "gt_sparse"
    text = (truth / "images.txt").read_text().replace(" 1 0 0 1 1.jpg", " 1.25 0 0 1 1.jpg")
    (truth / "images.txt").write_text(text)
    pycolmap.Reconstruction(truth).write_binary(truth)
    for file in truth.glob("*.txt"):
        file.unlink()
    for path in truth.glob("*.bin"):
        path.write_bytes(path.read_bytes().replace(pack("<d", 1.25), pack("<d", np.nan)))
    (scene,) = find_scenes(tmp_path, tmp_path)
    with pytest.raises(DatasetError, match=r"gt_sparse: `1\.jpg`: the pose is not finite\.$"):
        scene_pairs(scene)


def test_strecha_pairs() -> None:
    data = shared("data", "strecha")
    made = PosePairs(data, data, PoseOptions())
    assert len(made.pairs) == 11 * 10 // 2 + 8 * 7 // 2 + 10 * 9 // 2
    np.testing.assert_allclose(made.pairs[0].camera_a[:2, 2], [760.345 - 0.5, 503.405 - 0.5])
