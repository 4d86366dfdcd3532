from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from shared_data import shared

from silk_sfm.colmap.assignment import assign_cameras
from silk_sfm.colmap.baseline import SiftOptions, sift_baseline
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.colmap.mapping import MappingOptions
from silk_sfm.colmap.model import read_model
from silk_sfm.errors import ReconstructionError
from silk_sfm.geometry.pose import pair_errors


def test_real_photos(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos, truth = shared("data", "tiny", "images"), shared("data", "tiny", "gt_sparse")
    names = sorted(path.name for path in photos.iterdir())
    cameras = assign_cameras(photos, names, CameraOptions(intrinsics=truth))
    sift = SiftOptions(max_size=640, max_keypoints=2000)
    result = sift_baseline(photos, names, cameras, tmp_path, sift, MappingOptions())
    model, true = result.mapping.model, read_model(truth)
    found = {name: (pose.rotation, pose.translation) for name, pose in model.poses.items()}
    right = {name: (pose.rotation, pose.translation) for name, pose in true.poses.items()}
    assert pair_errors(found, right).largest.max() < 0.3
    assert {camera.params for camera in model.cameras.values()} == {cameras.cameras[0].params}
    assert 4 * 1000 < result.counts.n_keypoints <= 4 * 2 * 2000  # up to two orientations each
    assert result.counts.n_pairs == 6
    assert min(result.extract_seconds, result.match_seconds, result.mapping.seconds) > 0
    assert capfd.readouterr() == ("", "")


def test_photos_without_texture_make_no_model(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    for name in names:
        Image.new("L", (64, 48)).save(tmp_path / name)
    cameras = assign_cameras(tmp_path, names, CameraOptions())
    with pytest.raises(ReconstructionError, match="made no model of 2 images, 0 verified pairs"):
        sift_baseline(tmp_path, names, cameras, tmp_path / "w", SiftOptions(), MappingOptions())
