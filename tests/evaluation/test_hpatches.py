"""The `hpatches` and `homography` protocols on predictions whose scores are known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from homography_sets import MADE, SIZE, local_features, write_hpatches, write_perfect
from shared_data import shared

from silk_sfm.errors import ConfigError, StoreError
from silk_sfm.evaluation.homography_pairs import (
    HomographyPairs,
    HomographyPairsOptions,
    write_list,
)
from silk_sfm.evaluation.hpatches import HPatches, HPatchesOptions
from silk_sfm.evaluation.hpatches_files import D2NET_LEFT_OUT, HPatchesFiles
from silk_sfm.evaluation.hpatches_styles import size_with_short_side
from silk_sfm.evaluation.protocol import Job, Predictions
from silk_sfm.features import Matches
from silk_sfm.geometry.homography import resized_homography
from silk_sfm.pixels import PixelGrid
from silk_sfm.store import FeatureWriter, MatchWriter, Provenance


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_hpatches(tmp_path / "data")
    return tmp_path / "data"


def homographies(data: Path, job: Job, size: tuple[int, int]) -> dict[tuple[str, str], np.ndarray]:
    """Of every pair of a job, in the pixels of its images."""
    grid = PixelGrid(SIZE, size)
    original = {(pair.a, pair.b): pair.homography for pair in HPatchesFiles.read(data).original()}
    return {pair: resized_homography(original[pair], grid, grid) for pair in job.pairs}


def perfect(
    data: Path, out: Path, job: Job, size: tuple[int, int], shift: float = 0.0
) -> Predictions:
    return write_perfect(out / "perfect", job, homographies(data, job, size), (shift, 0.0))


# ---------- SiLK's ----------


def test_sizes_as_recorded() -> None:
    numbers = json.loads(shared("reference", "metrics.json").read_text())
    key = "hpatches_dataset_loader(min_img_size=[480,480], force=True, H_1_k = pair0/homography)"
    for case, expected in numbers[key].items():
        height, width = map(int, case.split("x"))
        assert size_with_short_side((width, height), 480) == tuple(expected["original"][:0:-1])


def test_silk_style_of_a_perfect_method(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(short_side=240))
    (job,) = protocol.jobs()
    size = size_with_short_side(SIZE, 240)
    assert size == (304, 240)
    rows = protocol.score(job, perfect(data, tmp_path, job, size), seed=0)
    assert [row.subset for row in rows] == ["overall", "illumination", "viewpoint"]
    for row in rows:
        assert (row.method, row.job, row.estimator) == ("perfect", "240", "OpenCV RANSAC")
        assert (row.threshold, row.image_size) == ("3 px", "short side 240")
        for name in ("Rep@1", "Rep@3", "HomAcc@1", "HomAcc@3", "HomAcc@5", "MMA@1", "MMA@10"):
            assert row.metrics[name] == 1.0, name
        assert row.metrics["HomAUC@1"] > 0.99
        assert row.metrics["matches"] == row.keypoints > 400


def test_silk_style_of_a_method_that_is_2_px_off(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(short_side=240))
    (job,) = protocol.jobs()
    found = perfect(data, tmp_path, job, size_with_short_side(SIZE, 240), shift=2.0)
    metrics = protocol.score(job, found, seed=1)[0].metrics
    assert (metrics["MMA@1"], metrics["MMA@3"]) == (0, 1)
    assert (metrics["Rep@1"], metrics["Rep@3"]) == (0, 1)
    assert (metrics["HomAcc@1"], metrics["HomAcc@3"]) == (0, 1)
    assert metrics["HomAUC@1"] == 0
    assert 0.3 < metrics["HomAUC@3"] < 0.4  # every error is about 2 of 3 px


def test_a_method_that_finds_nothing(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(short_side=240))
    (job,) = protocol.jobs()
    found = write_perfect(tmp_path / "none", job, {})
    with FeatureWriter(found.features, Provenance("made by a test", {}, {})) as store:
        for name in job.images.names:
            store.add(name, local_features(np.zeros((0, 2)), (304, 240)))
    with pytest.raises(StoreError, match="holds no pair"):
        protocol.score(job, found, seed=0)
    with MatchWriter(found.matches, MADE) as matches:
        for pair in job.pairs:
            matches.add_pair(pair, Matches.empty(), 0)
    row = protocol.score(job, found, seed=0)[0]
    assert np.isnan(row.metrics["Rep@1"])
    assert row.metrics["MMA@3"] == row.metrics["HomAcc@5"] == row.metrics["HomAUC@5"] == 0
    assert row.metrics["matches"] == row.keypoints == 0


# ---------- KP2D's, R2D2's, Descriptor Space's ----------


def test_kp2d_style(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="kp2d"))
    jobs = protocol.jobs()
    assert [(job.name, job.goal) for job in jobs] == [
        ("320x240", "features"),
        ("640x480", "features"),
    ]
    assert jobs[0].images.read("v_one/1.png", "grey").pixels.shape == (240, 320)
    rows = protocol.score(jobs[0], perfect(data, tmp_path, jobs[0], (320, 240)), seed=0)
    metrics = rows[0].metrics
    assert metrics["Repeatability"] > 0.9  # the best 300 of each image are not quite the same
    assert metrics["Localization error"] < 0.1
    assert [metrics[name] for name in ("C1", "C3", "C5", "MScore")] == [1, 1, 1, 1]
    assert rows[0].keypoints == 300
    assert (rows[0].estimator, rows[0].image_size) == ("OpenCV RANSAC", "320x240")


def test_r2d2_style(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="r2d2"))
    assert not protocol.seeded
    (job,) = protocol.jobs()
    assert job.images.root == data
    row = protocol.score(job, perfect(data, tmp_path, job, SIZE, shift=4.5), seed=0)[0]
    assert [row.metrics[f"MMA@{threshold}"] for threshold in range(1, 11)] == [0] * 4 + [1] * 6
    assert (row.estimator, row.threshold, row.image_size) == ("-", "-", "200x160")


def test_r2d2_style_leaves_out_the_largest_sequences(tmp_path: Path) -> None:
    assert len(D2NET_LEFT_OUT) == 8
    write_hpatches(tmp_path, ["v_talent", "v_one", "i_dc"])
    protocol = HPatches(tmp_path, tmp_path / "out", HPatchesOptions(style="r2d2"))
    assert {name.split("/")[0] for name in protocol.jobs()[0].images.names} == {"v_one"}


def test_pck_style(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="pck"))
    (job,) = protocol.jobs()
    assert job.keypoints is not None
    assert set(job.keypoints) == set(job.images.names)
    assert len(job.keypoints["v_one/1.png"]) == sum(
        len(job.keypoints[f"v_one/{k}.png"]) for k in range(2, 7)
    )
    assert len(job.keypoints["v_one/2.png"]) == 1000
    described = {name: local_features(xy, (640, 512)) for name, xy in job.keypoints.items()}
    with FeatureWriter(tmp_path / "features.h5", Provenance("test", {}, {})) as store:
        for name, features in described.items():
            if not name.endswith("/1.png"):  # rows as those of image 1: found at once
                first = described[f"{name.split('/')[0]}/1.png"]
                k = int(name.split("/")[1][0])
                start = sum(
                    len(job.keypoints[f"{name.split('/')[0]}/{i}.png"]) for i in range(2, k)
                )
                rows = first.descriptors[start : start + len(features)]
                features = replace(features, descriptors=np.ascontiguousarray(rows))
            store.add(name, features)
    rows = protocol.score(job, Predictions("perfect", tmp_path), seed=0)
    assert [row.subset for row in rows] == ["overall", "illumination", "viewpoint"]
    assert [row.metrics[f"PCK@{threshold}"] for row in rows for threshold in (1, 3, 5)] == [1.0] * 9


def test_styles_prescribe_their_settings() -> None:
    with pytest.raises(ConfigError, match="^The style `kp2d` prescribes sizes and estimator"):
        HPatchesOptions(style="kp2d", threshold_px=1.0)
    with pytest.raises(ConfigError, match="short_side must be at least 8 pixels, got 4"):
        HPatchesOptions(short_side=4)


# ---------- homography ----------


def test_homography_pairs(data: Path, tmp_path: Path) -> None:
    pairs = HPatchesFiles.read(data).original()
    write_list(data, pairs)
    protocol = HomographyPairs(data, tmp_path / "out", HomographyPairsOptions())
    (job,) = protocol.jobs()
    found = perfect(data, tmp_path, job, SIZE, shift=2.0)
    rows = protocol.score(job, found, seed=0)
    assert [row.subset for row in rows] == ["overall", "illumination", "viewpoint"]
    metrics = rows[0].metrics
    assert [metrics[f"Success@{threshold}"] for threshold in (1, 3, 5, 10)] == [0, 1, 1, 1]
    assert metrics["MMA@3"] == 1
    assert metrics["inliers"] == metrics["matches"] == rows[0].keypoints


def test_matches_beyond_the_keypoints_are_an_error(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="r2d2"))
    (job,) = protocol.jobs()
    found = perfect(data, tmp_path, job, SIZE)
    found.features.unlink()
    with FeatureWriter(found.features, Provenance("other", {}, {}), overwrite=True) as store:
        for name in job.images.names:
            store.add(name, local_features(np.ones((3, 2)), SIZE))
    with pytest.raises(StoreError, match="are matched beyond their keypoints. Remove this folder"):
        protocol.score(job, found, seed=0)
