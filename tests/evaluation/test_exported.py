from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from silk_sfm.errors import StoreError
from silk_sfm.evaluation.exported import Exported, Shown, features_shown, verifier_shown
from silk_sfm.evaluation.protocol import Predictions
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.store import FeatureWriter, MatchWriter, Provenance, VerifiedWriter


def features(n: int, size: tuple[int, int]) -> LocalFeatures:
    keypoints = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return LocalFeatures(keypoints, np.ones(n, np.float32), np.eye(n, 8, dtype=np.float32), size)


def write(folder: Path, max_size: int | None, sizes: list[tuple[int, int]]) -> Predictions:
    """Images a, b, ... with 4, 5, ... keypoints; keypoint 1 of a is keypoint 3 of b."""
    predictions = Predictions("method", folder)
    with FeatureWriter(predictions.features, Provenance("x", {"max_size": max_size}, {})) as store:
        for index, size in enumerate(sizes):
            store.add("abc"[index], features(4 + index, size))
    match = Matches(np.array([[1, 3]], np.int32), np.array([0.5], np.float32))
    with MatchWriter(predictions.matches, Provenance("x", {}, {})) as matches:
        matches.add_pair(("a", "b"), match, 4)
    return predictions


def test_matched_pixels_in_either_order(tmp_path: Path) -> None:
    with Exported(write(tmp_path, None, [(30, 20), (30, 20)])) as exported:
        there, back = exported.matched("a", "b"), exported.matched("b", "a")
        assert exported.file_size("a") == (30, 20)
    assert len(there) == 1
    assert there.pixels_a.tolist() == back.pixels_b.tolist() == [[2, 3]]
    assert there.pixels_b.tolist() == back.pixels_a.tolist() == [[6, 7]]
    assert there.pixels_a.dtype == np.float64
    assert there.scores.tolist() == [0.5]


def test_matches_of_other_keypoints_are_refused(tmp_path: Path) -> None:
    write(tmp_path, None, [(30, 20), (30, 20)])
    few = tmp_path / "few"
    fewer = Predictions("method", few)
    with FeatureWriter(fewer.features, Provenance("x", {}, {})) as store:
        store.add("a", features(2, (30, 20)))
        store.add("b", features(3, (30, 20)))
    (tmp_path / "matches.h5").rename(few / "matches.h5")
    (tmp_path / "matches.h5.shards").rename(few / "matches.h5.shards")
    message = r"matches\.h5: `a` and `b` are matched beyond their keypoints\."
    with Exported(fewer) as exported, pytest.raises(StoreError, match=message):
        exported.matched("a", "b")


@pytest.mark.parametrize(
    ("max_size", "sizes", "expected"),
    [
        (None, [(1600, 1200), (1600, 1200)], Shown(4.5, "1600x1200")),
        (800, [(1600, 1200), (1600, 1200)], Shown(4.5, "800x600")),
        (800, [(1600, 1200), (800, 600), (400, 400)], Shown(5.0, "up to 800 px")),
    ],
)
def test_what_a_row_says_of_its_images(
    tmp_path: Path, max_size: int | None, sizes: list[tuple[int, int]], expected: Shown
) -> None:
    predictions = write(tmp_path, max_size, sizes)
    names = "abc"[: len(sizes)]
    assert features_shown(predictions.features, names) == expected
    with Exported(predictions) as exported:
        assert exported.shown(names) == expected


def test_what_a_row_says_of_the_verifier(tmp_path: Path) -> None:
    nothing = TwoViewGeometry("fundamental", np.zeros((3, 3)), Matches.empty(), 1.0, 0)
    for name, options, expected in (
        ("magsac", {"threshold_px": 0.6}, ("magsac", "0.6 px")),
        ("other", {}, ("other", "-")),
    ):
        with VerifiedWriter(tmp_path / f"{name}.h5", Provenance(name, options, {})) as store:
            store.add_pair(("a", "b"), nothing, 3)
        assert verifier_shown(tmp_path / f"{name}.h5") == expected
