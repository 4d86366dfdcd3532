"""The examples for SLAM and video run, and what they give is what silk-sfm gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_photos import write_small_photos

from silk_sfm import ImageFolder, Silk

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    root = tmp_path_factory.mktemp("photos")
    write_small_photos(root, 4)
    return ImageFolder.open(root)


def test_pyslam_feature(photos: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    from pyslam_feature import SilkFeature2D

    frame = cv2.imread(str(photos.path("000.png")))
    feature = SilkFeature2D(num_features=80)
    keypoints, descriptors = feature.detectAndCompute(frame)
    own = Silk(Silk.Options(top_k=80))(np.float32(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)) / 255)
    np.testing.assert_array_equal([point.pt for point in keypoints], own.keypoints)  # float32
    np.testing.assert_allclose([point.response for point in keypoints], own.scores)
    np.testing.assert_array_equal(descriptors, own.descriptors)
    assert any(x % 1 for x, _ in (point.pt for point in keypoints))

    mask = np.zeros(frame.shape[:2], np.uint8)
    mask[:, :80] = 255
    masked, few = feature.detectAndCompute(frame[:, :, 0], mask)
    assert 0 < len(masked) == len(few) < 80
    assert all(point.pt[0] < 80 for point in masked)
    some = feature.detect(frame)[10:20]
    again, described = feature.compute(frame, some)
    assert again is some
    assert described.shape == (10, descriptors.shape[1])
    similarity = described @ own.descriptors.T  # sampled between cells, so nearly the same
    np.testing.assert_array_equal(similarity.argmax(axis=1), np.arange(10, 20))
    assert similarity.max(axis=1).min() > 0.9
    assert feature.compute(frame, [])[1].shape == (0, descriptors.shape[1])


@pytest.mark.slow
def test_track_video(photos: ImageFolder, tmp_path: Path) -> None:
    source = str(tmp_path / "in.avi")
    writer = cv2.VideoWriter(source, cv2.VideoWriter_fourcc(*"MJPG"), 15, (160, 120))
    for name in photos.names:
        writer.write(cv2.imread(str(photos.path(name))))
    writer.release()
    out = tmp_path / "out.avi"
    script = [sys.executable, str(EXAMPLES / "track_video.py"), source, str(out)]
    done = subprocess.run(
        script,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert re.fullmatch(rf"4 frames -> {re.escape(str(out))}, \d+\.\d frames/s\n", done.stdout)
    counts = [int(n) for n in re.findall(r"frame \d: (\d+) of \d+ tracked", done.stderr)]
    assert len(counts) == 4
    assert counts[0] == 0
    assert min(counts[1:]) > 100
    written = cv2.VideoCapture(str(out))
    assert int(written.get(cv2.CAP_PROP_FRAME_COUNT)) == 4
    drawn = written.read()[1], written.read()[1]
    green = [((frame[..., 1] > 150) & (frame[..., 2] < 80)).sum() for frame in drawn]
    assert green[0] < 50 < green[1]  # trails from the second frame on
