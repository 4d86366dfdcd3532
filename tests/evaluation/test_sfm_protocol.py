from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rendered_room import room, room_views, write_truth

from silk_sfm.cli.main import main
from silk_sfm.synthetic import write_photos


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that can be reconstructed, and one of two photos of different places."""
    data = tmp_path_factory.mktemp("sfm")
    views = room_views(6, step=0.15)
    write_photos(data / "corner" / "images", views, room())
    write_truth(data / "corner" / "gt_sparse", views)
    write_photos(data / "hopeless" / "images", [views[0]], room())
    blank = data / "hopeless" / "images" / views[1].name
    blank.write_bytes((data / "hopeless" / "images" / views[0].name).read_bytes())
    write_truth(data / "hopeless" / "gt_sparse", views[:2])
    return data


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return {row["subset"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_every_scene_is_reconstructed_and_measured(scenes: Path, tmp_path: Path) -> None:
    command = ["evaluate", "sfm", str(scenes), "--methods", "sift", "--out", str(tmp_path)]
    assert main([*command, "--repeats", "2", "--no-plots"]) == 0
    rows = rows_of(tmp_path)
    corner, hopeless = rows["corner"], rows["hopeless"]
    assert float(corner["registered"]) == float(corner["images"]) == 6
    assert float(corner["AUC@3"]) > 80
    assert float(corner["position %"]) < 2
    assert float(corner["points"]) > 100
    assert float(corner["reprojection px"]) < 1
    assert corner["repeats"] == "2"
    assert (corner["estimator"], corner["threshold"]) == ("magsac", "1 px")
    assert float(hopeless["registered"]) == float(hopeless["AUC@10"]) == 0
    job = tmp_path / "sift" / "corner"
    features, models = job / "features.h5", [job / f"seed_{seed}" for seed in (0, 1)]
    before = [path.stat().st_mtime_ns for path in (features, *(m / "sparse" for m in models))]
    assert main([*command, "--repeats", "2", "--no-plots"]) == 0  # nothing is made twice
    after = [path.stat().st_mtime_ns for path in (features, *(m / "sparse" for m in models))]
    assert before == after
    assert rows_of(tmp_path)["corner"] == corner
