from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from rendered_room import export_truth, room, room_views
from small_photos import write_small_weights

from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.exported import MatchedPixels
from silk_sfm.evaluation.imc2022 import SIDEWAYS, Imc2022, Imc2022Options, estimate_fundamental
from silk_sfm.evaluation.imc2022_files import (
    read_calibration,
    read_scales,
    read_test_pairs,
    read_training_pairs,
    write_submission,
)
from silk_sfm.evaluation.imc_metrics import fundamental_errors
from silk_sfm.synthetic import PinholeView, write_photos

PAIRS = ["b-a,0.9,x", "c-a,0.5,x", "c-b,0.05,x"]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, PinholeView]]:
    """Two scenes in the competition's layout, the same photos in both."""
    data = tmp_path_factory.mktemp("train")
    views = dict(zip("abc", room_views(3, step=0.2), strict=True))
    (data / "scaling_factors.csv").write_text(
        "community_id,scene,scaling_factor\nphototourism,north,2.5\nphototourism,south,1.0\n"
    )
    named = {}
    for scene in ("north", "south"):
        folder = data / scene
        (folder / "images").mkdir(parents=True)
        for image, view in views.items():
            path = folder / "images" / f"{image}.jpg"
            if scene == "north":
                (written,) = write_photos(folder / "images", [view], room())
                written.rename(path)
            else:
                path.write_bytes((data / "north" / "images" / f"{image}.jpg").read_bytes())
            named[f"{scene}/images/{image}.jpg"] = view
        covisible = "\n".join(["pair,covisibility,fundamental_matrix", *PAIRS])
        (folder / "pair_covisibility.csv").write_text(covisible + "\n")
        (folder / "calibration.csv").write_text(calibration(views))
    return data, named


def calibration(views: dict[str, PinholeView]) -> str:
    """K counts pixels from the corner of the first one."""
    lines = ["image_id,camera_intrinsics,rotation_matrix,translation_vector"]
    for image, view in views.items():
        camera = view.intrinsics + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        parts = (camera.ravel(), view.rotation.ravel(), view.translation)
        lines.append(",".join([image, *(" ".join(map(str, part)) for part in parts)]))
    return "\n".join(lines) + "\n"


def protocol(data: Path, **options: object) -> Imc2022:
    return Imc2022(data, data, Imc2022Options(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["opencv-magsac", "magsac"])
def test_true_keypoints_score_one(
    train: tuple[Path, dict[str, PinholeView]], tmp_path: Path, estimator: str
) -> None:
    made = protocol(train[0], estimator=estimator)
    (job,) = made.jobs()
    assert len(job.pairs) == 4  # two of three pairs of each scene see enough
    predictions = export_truth(tmp_path, train[1], job, noise_px=0.0, wrong=0.2)
    rows = made.score(job, predictions, seed=0)
    assert [row.subset for row in rows] == ["overall", "north", "south"]
    for row in rows:
        assert row.metrics["mAA"] > 0.95, row
        assert row.metrics["failed"] == 0
    assert rows[0].metrics["mAA"] == pytest.approx(
        np.mean([row.metrics["mAA"] for row in rows[1:]])
    )


def test_submission_is_what_is_scored(
    train: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    """The matrices of the file, read back and scored, have the errors of the table."""
    made = protocol(train[0])
    (job,) = made.jobs()
    predictions = export_truth(tmp_path, train[1], job, noise_px=0.0, wrong=0.0)
    (path,) = made.export(job, predictions, tmp_path)
    assert path == tmp_path / "truth" / "submission.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["sample_id", "fundamental_matrix"]
    assert [row[0] for row in rows[1:3]] == ["phototourism;north;b-a", "phototourism;north;c-a"]
    known = read_calibration(train[0] / "north" / "calibration.csv")
    fundamental = np.array(rows[1][1].split(" "), np.float64).reshape(3, 3)
    views = room_views(3, step=0.2)
    rotation = views[0].rotation @ views[1].rotation.T
    true = rotation, views[0].translation - rotation @ views[1].translation
    degrees, metres = fundamental_errors(fundamental, known["b"].camera, known["a"].camera, true, 1)
    assert degrees < 0.01
    assert metres < 0.001


def test_failed_pairs_get_a_valid_matrix(
    train: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    made = protocol(train[0], threshold_px=1e-7, estimator="magsac")
    (job,) = made.jobs()
    predictions = export_truth(tmp_path, train[1], job, noise_px=5.0, wrong=1.0)
    rows = made.score(job, predictions, seed=0)
    assert rows[0].metrics["failed"] == rows[0].metrics["pairs"] == 4
    assert 0 <= rows[0].metrics["mAA"] < 1
    (path,) = made.export(job, predictions, tmp_path)
    for line in path.read_text().splitlines()[1:]:
        matrix = np.array(line.split(",")[1].split(), np.float64).reshape(3, 3)
        np.testing.assert_array_equal(matrix, SIDEWAYS)
        assert np.linalg.matrix_rank(matrix) == 2


def test_a_test_folder_is_submitted(
    train: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    images = data / "test_images" / "batch"
    images.mkdir(parents=True)
    for image in "ab":
        photo = train[0] / "north" / "images" / f"{image}.jpg"
        (images / f"{image}.png").write_bytes(photo.read_bytes())
    header = "sample_id,batch_id,image_1_id,image_2_id\n"
    (data / "test.csv").write_text(header + "phototourism;batch;a-b,batch,a,b\n")
    made = protocol(data)
    (job,) = made.jobs()
    views = {
        f"test_images/batch/{image}.png": train[1][f"north/images/{image}.jpg"] for image in "ab"
    }
    predictions = export_truth(tmp_path / "truth", views, job, noise_px=0.0, wrong=0.0)
    (row,) = made.score(job, predictions, seed=0)
    assert list(row.metrics) == ["matches", "failed", "pairs"]
    (path,) = made.export(job, predictions, tmp_path)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == [
        "sample_id",
        "phototourism;batch;a-b",
    ]
    (images / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"test\.csv line 2: no image `b` \(\.jpg, \.png\) in "):
        read_test_pairs(data)


def test_pairs_can_be_drawn(train: tuple[Path, dict[str, PinholeView]]) -> None:
    assert len(protocol(train[0], max_pairs=1).samples) == 2
    assert len(protocol(train[0], min_covisibility=0.0).samples) == 6
    with pytest.raises(DatasetError, match=r"^No pair in .* has a covisibility of 2\.0\.$"):
        protocol(train[0], min_covisibility=2.0)


def test_submission_numbers(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", {"a;b;c-d": np.arange(9.0).reshape(3, 3) / 3})
    assert (tmp_path / "s.csv").read_text() == (
        "sample_id,fundamental_matrix\n"
        "a;b;c-d,0.00000000e+00 3.33333333e-01 6.66666667e-01 1.00000000e+00 1.33333333e+00 "
        "1.66666667e+00 2.00000000e+00 2.33333333e+00 2.66666667e+00\n"
    )


def test_faulty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"^Neither scaling_factors\.csv \(train\) nor test\.csv"
    ):
        protocol(tmp_path)
    path = tmp_path / "calibration.csv"
    with pytest.raises(DatasetError, match=r"^No file .*calibration\.csv\.$"):
        read_calibration(path)
    header = "image_id,camera_intrinsics,rotation_matrix,translation_vector\n"
    good = "a,1 0 1 0 1 1 0 0 1,1 0 0 0 1 0 0 0 1,0 0 0\n"
    for text, message in {
        "image_id,camera_intrinsics\n": "lacks the column rotation_matrix, translation_vector in",
        header + good + "b,1 0 nan 0 1 1 0 0 1,1 0 0 0 1 0 0 0 1,0 0 0\n": r"csv line 3: .* finite",
        header + "a,1 0 1 0 1 1 0 0 1,1 0 0 0 1 0 0 0 1\n": "line 2 has too few columns",
        header + good.replace("0 0 0\n", "0 0\n"): "line 2: `0 0` is not 3 finite numbers",
        header + good.replace("0 0 0\n", "0 0 x\n"): "line 2: could not convert string",
        header + good.replace("1 0 0 0 1 0 0 0 1", "2 0 0 0 1 0 0 0 1"): "is no rotation matrix",
    }.items():
        path.write_text(text)
        with pytest.raises(DatasetError, match=message):
            read_calibration(path)
    (tmp_path / "scale.csv").write_text("scene,scaling_factor\na,-1\n")
    with pytest.raises(DatasetError, match=r"line 2: the scaling factor -1\.0 is not above 0"):
        read_scales(tmp_path / "scale.csv")
    (tmp_path / "pair_covisibility.csv").write_text("pair,covisibility\nab,0.5\n")
    with pytest.raises(DatasetError, match=r"line 2: `ab` is no pair `a-b`\.$"):
        read_training_pairs(tmp_path, 0.1)


def test_a_pair_without_calibration_is_named(
    train: tuple[Path, dict[str, PinholeView]], tmp_path: Path
) -> None:
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        for part in ("images", "pair_covisibility.csv", "calibration.csv"):
            (tmp_path / name / part).symlink_to(train[0] / name / part)
    (tmp_path / "scaling_factors.csv").symlink_to(train[0] / "scaling_factors.csv")
    assert len(protocol(tmp_path).samples) == 4
    (tmp_path / "east").mkdir()
    (tmp_path / "east" / "calibration.csv").touch()
    with pytest.raises(DatasetError, match=r"scaling_factors\.csv has no scene `east`, which is a"):
        protocol(tmp_path)
    (tmp_path / "east" / "calibration.csv").unlink()
    lines = (train[0] / "north" / "calibration.csv").read_text().splitlines()
    (tmp_path / "south" / "calibration.csv").unlink()
    (tmp_path / "south" / "calibration.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DatasetError, match=r"calibration\.csv has no image `c`, which"):
        protocol(tmp_path)


def test_options_and_empty_matches() -> None:
    with pytest.raises(ConfigError, match=r"^threshold_px must be above 0, got 0\.$"):
        Imc2022Options(threshold_px=0)
    with pytest.raises(ConfigError, match="max_pairs must be 1 or more"):
        Imc2022Options(max_pairs=0)
    nothing = MatchedPixels(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, np.float32))
    assert estimate_fundamental(nothing, Imc2022Options(), 0) is None


@pytest.mark.slow
def test_the_pipeline_writes_a_submission(
    train: tuple[Path, dict[str, PinholeView]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With random weights, on small photos: every pair has a line."""
    write_small_weights(tmp_path / "small.safetensors")
    script = Path(__file__).parents[2] / "pipelines" / "imc2022.py"
    flags = ["--out", str(tmp_path / "out"), "--weights", str(tmp_path / "small.safetensors")]
    flags += ["--max-size", "160", "--max-pairs", "1", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [str(script), str(train[0]), *flags])
    runpy.run_path(str(script), run_name="__main__")
    submission = tmp_path / "out" / "imc2022" / "submission.csv"
    assert len(submission.read_text().splitlines()) == 1 + 2
    shown = capsys.readouterr().out
    assert str(submission) in shown
    assert "mAA" in shown
