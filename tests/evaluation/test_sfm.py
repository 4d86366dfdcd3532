from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from shared_data import shared

from silk_sfm.cli.main import main
from silk_sfm.colmap.model import Model, Pose, read_model
from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.model_metrics import AUC_DEGREES, compare_models, position_errors
from silk_sfm.evaluation.sfm import SfmOptions, StructureFromMotion
from silk_sfm.evaluation.strecha import quaternion, read_camera, write_colmap_truth


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Ten images of COLMAP's synthetic scene, as COLMAP writes them."""
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=2, num_cameras_per_rig=1, num_frames_per_rig=5, num_points3D=50
    )
    pycolmap.set_random_seed(0)
    folder = tmp_path_factory.mktemp("truth")
    pycolmap.synthesize_dataset(options).write_text(folder)
    return read_model(folder)


def moved(model: Model, poses: dict[str, Pose]) -> Model:
    return replace(model, poses={**model.poses, **poses})


def test_a_model_is_equal_to_itself(truth: Model) -> None:
    compared = compare_models(truth, truth)
    assert (compared.n_registered, compared.n_true) == (10, 10)
    assert len(compared.errors.pairs) == 45
    np.testing.assert_allclose(compared.auc(), 100, atol=1e-3)
    np.testing.assert_allclose(compared.position_errors, 0, atol=1e-9)
    metrics = compared.metrics()
    assert metrics["points"] == 50
    assert metrics["track length"] == pytest.approx(truth.points.track_lengths.mean())
    assert metrics["reprojection px"] == pytest.approx(0, abs=1e-6)


def test_world_and_scale_do_not_matter(truth: Model) -> None:
    world, shift, scale = cv2.Rodrigues(np.array([0.3, -1.2, 0.5]))[0], np.array([3.0, 4, 5]), 7.0
    poses = {}
    for name, pose in truth.poses.items():
        rotation = pose.rotation @ world.T
        centre = scale * world @ pose.centre + shift
        poses[name] = Pose(rotation, -rotation @ centre)
    compared = compare_models(moved(truth, poses), truth)
    np.testing.assert_allclose(compared.auc(), 100, atol=1e-3)
    np.testing.assert_allclose(compared.position_errors, 0, atol=1e-9)


def test_a_turned_camera_spoils_its_pairs(truth: Model) -> None:
    """By 2 degrees about its own centre: 9 of 45 pairs are off by 2, no position is."""
    name = truth.names[3]
    turn = cv2.Rodrigues(np.radians([0.0, 2.0, 0.0]))[0]
    pose = truth.poses[name]
    turned = Pose(turn @ pose.rotation, turn @ pose.translation)
    compared = compare_models(moved(truth, {name: turned}), truth)
    off = compared.errors.largest > 1e-4
    assert off.sum() == 9
    np.testing.assert_allclose(compared.errors.rotation[off], 2, atol=1e-6)
    np.testing.assert_allclose(compared.position_errors, 0, atol=1e-9)
    # recall 36/45 until 2 degrees (errors are 2 exactly), then 1
    areas = dict(zip(AUC_DEGREES, compared.auc(), strict=True))
    assert areas[1.0] == pytest.approx(80, abs=0.1)
    assert areas[0.5] < 80.1
    # a straight line from (0, 36/45) to (2, 37/45) and on to (2, 1), then level until 10
    assert areas[10.0] == pytest.approx(100 * (2 * (36 + 37) / 90 + 8) / 10, abs=0.1)


def test_a_shifted_camera_is_off_by_its_shift(truth: Model) -> None:
    name, pose = truth.names[0], truth.poses[truth.names[0]]
    shift = np.array([0.0, 0.0, 0.05])
    shifted = Pose(pose.rotation, -pose.rotation @ (pose.centre + shift))
    compared = compare_models(moved(truth, {name: shifted}), truth)
    assert compared.position_errors.max() == pytest.approx(0.05, rel=0.3)
    assert np.median(compared.position_errors) < 0.02
    assert compared.metrics()["position %"] == pytest.approx(
        100 * np.median(compared.position_errors) / compared.extent
    )


def test_cameras_in_one_place(truth: Model) -> None:
    """A panorama: no distance to divide by."""
    turned = {name: replace(pose, translation=np.zeros(3)) for name, pose in truth.poses.items()}
    still = replace(truth, poses=turned)
    metrics = compare_models(still, still).metrics()
    assert np.isnan(metrics["position"])
    assert np.isnan(metrics["position %"])
    assert metrics["AUC@5"] > 99


def test_missing_images_fail_their_pairs(truth: Model) -> None:
    kept = dict(list(truth.poses.items())[:6])
    stranger = {"elsewhere.jpg": truth.poses[truth.names[0]]}
    compared = compare_models(replace(truth, poses={**kept, **stranger}), truth)
    assert compared.n_registered == 6
    assert np.isinf(compared.errors.largest).sum() == 45 - 15
    assert compared.auc((10.0,)) == [pytest.approx(100 * 15 / 45, abs=0.01)]


def test_no_model_at_all(truth: Model) -> None:
    metrics = compare_models(None, truth).metrics()
    assert metrics["registered"] == metrics["AUC@10"] == metrics["points"] == 0
    assert np.isnan(metrics["position"])
    two = {name: (pose.rotation, pose.translation) for name, pose in truth.poses.items()}
    assert position_errors(dict(list(two.items())[:2]), two).shape == (0,)


@pytest.mark.parametrize("angles", [(0, 0, 0), (1, 2, 3), (np.pi, 0, 0), (0, np.pi - 1e-9, 0)])
def test_quaternion(angles: tuple[float, float, float]) -> None:
    rotation = cv2.Rodrigues(np.array(angles, float))[0]
    real, *imaginary = quaternion(rotation)
    again = pycolmap.Rotation3d(np.array([*imaginary, real])).matrix()
    np.testing.assert_allclose(again, rotation, atol=1e-9)
    assert real >= 0


def strecha_text(rotation: np.ndarray, centre: np.ndarray) -> str:
    """K, zeros, R (camera to world), centre, size, as the published files."""
    rows = ["2759.48 0 1520.69", "0 2764.16 1006.81", "0 0 1", "0 0 0"]
    rows += [" ".join(map(str, row)) for row in rotation] + [" ".join(map(str, centre))]
    return " \n".join([*rows, "3072 2048"]) + "\n"


def test_strecha_camera_files(tmp_path: Path) -> None:
    rotation, centre = cv2.Rodrigues(np.array([0.4, 0.5, -1.0]))[0], np.array([-7.28, -7.57, 0.2])
    path = tmp_path / "0000.jpg.camera"
    path.write_text(strecha_text(rotation, centre))
    found = read_camera(path)
    assert found.size == (3072, 2048)
    np.testing.assert_allclose(found.pose[0], rotation.T)
    np.testing.assert_allclose(found.pose[0] @ centre + found.pose[1], 0, atol=1e-12)
    for text, message in {
        "1 2 3": r"is no camera of 26 numbers",
        strecha_text(rotation, centre).replace("0 0 0", "0.1 0 0"): "three zeros",
        strecha_text(rotation, centre * np.nan): r"0000\.jpg\.camera: the pose is not finite\.$",
        "a": "cannot be read",
    }.items():
        path.write_text(text)
        with pytest.raises(DatasetError, match=message):
            read_camera(path)


def test_strecha_truth_is_that_of_the_colmap_model(tmp_path: Path) -> None:
    scene = shared("data", "strecha", "fountain-P11")
    write_colmap_truth(scene / "gt_dense_cameras", scene / "images", tmp_path / "truth")
    written, given = read_model(tmp_path / "truth"), read_model(scene / "gt_sparse")
    assert written.names == given.names
    for name in given.names:
        np.testing.assert_allclose(
            written.poses[name].rotation, given.poses[name].rotation, atol=1e-5
        )
        np.testing.assert_allclose(written.poses[name].centre, given.poses[name].centre, atol=1e-4)
        np.testing.assert_allclose(written.cameras[name].params, given.cameras[name].params)


def test_strecha_without_photos(tmp_path: Path) -> None:
    (tmp_path / "0000.jpg.camera").write_text(strecha_text(np.eye(3), np.zeros(3)))
    with pytest.raises(DatasetError, match=r"0000\.jpg\.camera has no photo "):
        write_colmap_truth(tmp_path, tmp_path, tmp_path / "truth")


def test_the_truth_of_camera_files_alone(tmp_path: Path) -> None:
    scene = shared("data", "strecha", "Herz-Jesus-P8")
    (tmp_path / "herz").mkdir()
    for part in ("images", "gt_dense_cameras"):
        (tmp_path / "herz" / part).symlink_to(scene / part)
    protocol = StructureFromMotion(tmp_path, tmp_path / "out", SfmOptions())
    (job,) = protocol.jobs()
    assert (job.name, job.goal, len(job.pairs)) == ("herz", "model", 28)
    assert job.intrinsics == tmp_path / "out" / "truth" / "herz"
    assert (
        StructureFromMotion(tmp_path, tmp_path / "out", SfmOptions(known_intrinsics=False))
        .jobs()[0]
        .intrinsics
        is None
    )


def test_a_given_model_is_measured(tmp_path: Path) -> None:
    scene = shared("data", "tiny")
    out, model = tmp_path / "out", scene / "gt_sparse"
    command = ["evaluate", "sfm", str(scene), "--model", str(model), "--out", str(out)]
    assert main([*command, "--no-plots"]) == 0
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["AUC@0.5"]) == pytest.approx(100, abs=1e-3)
    assert float(row["registered"]) == float(row["images"]) == 4


def test_a_given_model_of_other_names(tmp_path: Path) -> None:
    """Nothing in common is a mistake, not an AUC of 0."""
    scene = shared("data", "tiny")
    renamed = tmp_path / "model"
    shutil.copytree(scene / "gt_sparse", renamed)
    text = (renamed / "images.txt").read_text()
    (renamed / "images.txt").write_text(text.replace(" 00", " photos/00"))
    protocol = StructureFromMotion(scene, tmp_path, SfmOptions(model=renamed))
    with pytest.raises(DatasetError, match="have no image in common: `photos/00"):
        protocol.given()


def test_a_model_needs_one_scene() -> None:
    data = shared("data", "strecha")
    with pytest.raises(DatasetError, match=r"holds 3: Herz-Jesus-P8, entry-P10, fountain-P11\."):
        StructureFromMotion(data, data, SfmOptions(model=data))
