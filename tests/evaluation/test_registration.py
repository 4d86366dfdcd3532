from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered_room import camera_to_world, export_truth, write_frames

from silk_sfm.cli.main import main
from silk_sfm.errors import ConfigError, DatasetError, PairError
from silk_sfm.evaluation.registration import Registration, RegistrationOptions
from silk_sfm.evaluation.registration_metrics import (
    RegistrationError,
    chamfer_squares,
    nearest_squares,
    registration_error,
    registration_metrics,
)
from silk_sfm.evaluation.rgbd import DepthMap, find_frames, relative_motion
from silk_sfm.synthetic import PinholeView

NUMBERS = [0, 10, 20, 30, 40]
STILL = np.eye(3), np.zeros(3)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, PinholeView]]:
    data = tmp_path_factory.mktemp("rgbd")
    views = write_frames(data, NUMBERS)
    return data, {f"scene0000_00/color/{view.name}": view for view in views}


def registration(data: Path, **options: object) -> Registration:
    return Registration(data, data / "out", RegistrationOptions(**options))  # type: ignore[arg-type]


def test_frames_are_paired_by_their_numbers(frames: tuple[Path, dict[str, PinholeView]]) -> None:
    protocol = registration(frames[0])
    (job,) = protocol.jobs()
    pairs = [tuple(Path(name).stem for name in pair) for pair in job.pairs]
    assert pairs == [("0", "20"), ("20", "40")]
    assert len(registration(frames[0], separation=10).pairs) == 4
    with pytest.raises(DatasetError, match=r"are 7 numbers apart\.$"):
        registration(frames[0], separation=7)


def test_true_keypoints_register(
    frames: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    """Depth in millimetres and keypoints off by 0.3 px: within a degree and centimetres."""
    data, views = frames
    protocol = registration(data)
    (job,) = protocol.jobs()
    predictions = export_truth(tmp_path, views, job, noise_px=0.3, wrong=0.5)
    (row,) = protocol.score(job, predictions, seed=0)
    assert row.threshold == "5 cm"
    assert row.image_size == "320x240"
    assert row.metrics["pairs"] == 2
    assert row.metrics["failed"] == 0
    assert row.metrics["Rot@5"] == row.metrics["Trans@5"] == row.metrics["Chamfer@1"] == 100
    assert row.metrics["Rot mean"] < 0.5
    assert row.metrics["Trans mean"] < 2
    assert row.metrics["Distance mean"] < 1
    assert 50 < row.metrics["matches"] < 300  # points that no depth map sees are left out
    again = protocol.score(job, predictions, seed=0)
    assert again[0].metrics == row.metrics


def test_the_command_measures_sift(
    frames: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    """The whole way: frames, stores, depth, table with the published row below."""
    command = ["evaluate", "registration", str(frames[0]), "--methods", "sift"]
    assert main([*command, "--out", str(tmp_path), "--no-plots", "--repeats", "1"]) == 0
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["Rot@5"]) == float(row["Trans@10"]) == float(row["Chamfer@5"]) == 100
    assert float(row["matches"]) > 100
    assert "Tab. 6" in (tmp_path / "results.md").read_text()


def test_without_matches_nothing_moves(
    frames: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    data, views = frames
    protocol = registration(data, threshold_m=1e-9)
    (job,) = protocol.jobs()
    (row,) = protocol.score(job, export_truth(tmp_path, views, job, 5.0, 1.0), seed=0)
    assert row.metrics["failed"] == 2
    frame_a, frame_b = protocol.pairs[0]
    motion = relative_motion(frame_a, frame_b)
    assert row.metrics["Trans mean"] > 50 * np.linalg.norm(motion[1])


def test_relative_motion_maps_camera_a_to_camera_b(
    frames: tuple[Path, dict[str, PinholeView]],
) -> None:
    data, views = frames
    a, b = find_frames(data)["scene0000_00"][:2]
    rotation, translation = relative_motion(a, b)
    point = np.array([2.0, 2.5, 1.0])
    seen_a, seen_b = (
        views[frame.name].rotation @ point + views[frame.name].translation for frame in (a, b)
    )
    np.testing.assert_allclose(rotation @ seen_a + translation, seen_b, atol=1e-9)


def test_depth_is_that_of_the_nearest_pixel() -> None:
    depth = np.array([[1.0, 2.0], [0.0, 4.0]])
    camera = np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 1]])
    lifted = DepthMap(depth, camera).lift(np.array([[0.2, 0.1], [0.3, 0], [0, 0.5], [1.5, 0]]))
    np.testing.assert_allclose(lifted[:2], [[0.2, 0.1, 1], [0.6, 0, 2]])
    assert np.isnan(lifted[2:]).all()  # unknown depth, outside
    cloud = DepthMap(depth, camera).cloud(10)
    np.testing.assert_allclose(cloud, [[0, 0, 1], [1, 0, 2], [2, 2, 4]])
    assert len(DepthMap(np.ones((30, 30)), camera).cloud(100)) == 100
    assert DepthMap(depth, camera).lift(np.zeros((0, 2))).shape == (0, 3)


def test_nearest_squares_are_exact() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 3)) + 50, rng.normal(size=(500, 3)) + 50
    expected = ((a[:, None] - b) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(nearest_squares(a, b), expected, atol=1e-4)
    assert nearest_squares(a[:0], b).shape == (0,)


def test_chamfer_known_answer() -> None:
    """Cloud b moves by 10 cm away from everything: its points are 10 cm off, those of a are not."""
    cloud_a, cloud_b = np.zeros((2, 3)), np.array([[10.0, 0, 0], [20, 0, 0]])
    found = np.eye(3), np.array([0, 0.1, 0])
    squares = chamfer_squares(found, STILL, cloud_a, cloud_b)
    for each in squares:
        np.testing.assert_allclose(each, [0, 0, 0.01, 0.01], atol=1e-7)
    error = registration_error(found, STILL, cloud_a, cloud_b)
    assert error.rotation == 0
    assert error.translation == pytest.approx(10)
    assert error.chamfer == pytest.approx(10, rel=1e-4)  # 1000 x (0.005 + 0.005)
    assert error.chamfer_cm == pytest.approx(5, rel=1e-4)


def test_metrics_known_answer() -> None:
    errors = [RegistrationError(5, 4, 0.5, 7), RegistrationError(11, 11, 6, 11)]
    metrics = registration_metrics(errors)
    assert [metrics[f"Rot@{t}"] for t in (5, 10, 45)] == [50, 50, 100]
    assert [metrics[f"Trans@{t}"] for t in (5, 10, 25)] == [50, 50, 100]
    assert [metrics[f"Chamfer@{t}"] for t in (1, 5, 10)] == [50, 50, 100]
    assert [metrics[f"Distance@{t}"] for t in (1, 5, 10)] == [0, 0, 50]
    assert metrics["Rot mean"] == metrics["Rot median"] == 8


def test_frames_without_pose_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_frames(tmp_path, [0, 20, 40])
    pose = tmp_path / "scene0000_00" / "pose" / "20.txt"
    np.savetxt(pose, np.full((4, 4), -np.inf))
    with pytest.raises(DatasetError, match="No two frames"):
        registration(tmp_path)
    assert "scene0000_00: 1 frames have no pose." in caplog.text
    listed = tmp_path / "pairs.txt"
    listed.write_text("scene0000_00/color/0.jpg scene0000_00/color/20.jpg\n")
    with pytest.raises(DatasetError, match=r"20\.txt: the pose is not finite\.$"):
        registration(tmp_path, pair_file=listed)
    listed.write_text("scene0000_00/color/0.jpg scene0000_00/color/99.jpg\n")
    with pytest.raises(PairError, match=r"line 1: no image `scene0000_00/color/99\.jpg`"):
        registration(tmp_path, pair_file=listed)
    listed.write_text("# nothing\n")
    with pytest.raises(DatasetError, match=r"^Pair list .*pairs\.txt is empty\.$"):
        registration(tmp_path, pair_file=listed)
    listed.write_text("scene0000_00/color/0.jpg scene0000_00/color/40.jpg\n")
    assert len(registration(tmp_path, pair_file=listed).pairs) == 1


def test_a_missing_depth_map_is_named_before_any_work(tmp_path: Path) -> None:
    write_frames(tmp_path, [0, 20])
    (tmp_path / "scene0000_00" / "depth" / "20.png").unlink()
    with pytest.raises(DatasetError, match=r"^No depth map .*20\.png for .*color/20\.jpg\.$"):
        registration(tmp_path)


def test_bad_frames_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No frames in"):
        registration(tmp_path)
    views = write_frames(tmp_path, [0, 20])
    scene = tmp_path / "scene0000_00"
    first, _ = find_frames(tmp_path)["scene0000_00"]
    cv2.imwrite(str(scene / "depth" / "0.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"0\.png is no 16-bit depth map"):
        first.read_depth(1000)
    cv2.imwrite(str(scene / "depth" / "0.png"), np.zeros((4, 4), np.uint16))
    with pytest.raises(DatasetError, match=r"0\.png knows no depth at all\.$"):
        first.read_depth(1000)
    intrinsic = scene / "intrinsic" / "intrinsic_color.txt"
    intrinsic.write_text("nan 0 1 0\n0 1 1 0\n0 0 1 0\n0 0 0 1\n")
    with pytest.raises(
        DatasetError, match=r"intrinsic_color\.txt: the intrinsics of .* not finite"
    ):
        first.read_camera()
    intrinsic.write_text("1 2\n3 4\n")
    with pytest.raises(DatasetError, match=r"holds a matrix of the shape \(2, 2\)"):
        first.read_camera()
    (scene / "pose" / "0.txt").write_text("1 2 x\n")
    with pytest.raises(DatasetError, match=r"0\.txt holds no matrix"):
        first.read_pose()
    (scene / "pose" / "0.txt").unlink()
    with pytest.raises(DatasetError, match=r"^No file .*0\.txt\.$"):
        registration(tmp_path)
    np.savetxt(scene / "pose" / "0.txt", camera_to_world(views[0]))
    (scene / "color" / "first.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"first\.jpg is not named by the number of its frame"):
        registration(tmp_path)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"^threshold_m must be above 0, got 0\.$"):
        RegistrationOptions(threshold_m=0)
