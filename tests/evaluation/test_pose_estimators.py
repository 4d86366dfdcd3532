from __future__ import annotations

import sys
from typing import get_args

import cv2
import numpy as np
import pytest

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.pose_estimators import (
    CalibratedMatches,
    EstimatorName,
    check_installed,
    estimate_pose,
    rays,
)
from silk_sfm.evaluation.pose_metrics import (
    FAILED,
    epipolar_distances,
    precision,
    relative_pose_error,
)
from silk_sfm.geometry.pose import RotationTranslation

ESTIMATORS = get_args(EstimatorName)
CAMERA_A = np.array([[900.0, 0, 640], [0, 910, 480], [0, 0, 1]])
CAMERA_B = np.array([[1300.0, 0, 500], [0, 1290, 390], [0, 0, 1]])
TRUE = cv2.Rodrigues(np.array([0.1, -0.25, 0.05]))[0], np.array([0.9, 0.1, 0.3])


def matches(n: int = 300, noise: float = 0.4, outliers: float = 0.4) -> CalibratedMatches:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (n, 3)) * [2, 1.5, 2] + [0, 0, 7]
    pixels_a = project(points, CAMERA_A) + rng.normal(scale=noise, size=(n, 2))
    pixels_b = project(points @ TRUE[0].T + TRUE[1], CAMERA_B)
    pixels_b += rng.normal(scale=noise, size=(n, 2))
    wrong = rng.permutation(n)[: round(outliers * n)]
    pixels_b[wrong] = rng.uniform(0, 1000, (len(wrong), 2))
    return CalibratedMatches(pixels_a, pixels_b, CAMERA_A, CAMERA_B, np.ones(n, np.float32))


def project(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    seen = points @ camera.T
    return seen[:, :2] / seen[:, 2:]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_finds_the_pose_among_outliers(estimator: EstimatorName) -> None:
    if estimator == "poselib":
        pytest.importorskip("poselib")
    found = estimate_pose(matches(), estimator, 1.0, seed=0)
    error = relative_pose_error(found, TRUE)
    assert error.rotation < 1.0, error
    assert error.translation < 2.0, error
    assert found is not None
    assert np.dot(found[1], TRUE[1]) > 0  # points lie in front of both cameras


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_same_seed_same_pose(estimator: EstimatorName) -> None:
    if estimator == "poselib":
        pytest.importorskip("poselib")
    data = matches(outliers=0.7)
    runs = [estimate_pose(data, estimator, 1.0, seed) for seed in (3, 3, 4)]
    assert all(run is not None for run in runs)
    first, again, other = (np.column_stack(run) for run in runs if run is not None)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_matches_have_no_pose(estimator: EstimatorName, n: int) -> None:
    assert estimate_pose(matches(n, outliers=0), estimator, 1.0, 0) is None


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_matches_of_one_point_do_not_crash(estimator: EstimatorName) -> None:
    if estimator == "poselib":
        pytest.importorskip("poselib")
    same = np.full((20, 2), 300.0)
    data = CalibratedMatches(same, same, CAMERA_A, CAMERA_B, np.ones(20, np.float32))
    found = estimate_pose(data, estimator, 1.0, 0)
    assert found is None or np.isfinite(np.column_stack(found)).all()


def test_poselib_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "poselib", None)
    with pytest.raises(ConfigError, match=r"needs PoseLib: pip install 'silk-sfm\[poselib\]'\."):
        check_installed("poselib")
    check_installed("colmap")


def test_rays_undo_the_camera() -> None:
    skewed = CAMERA_A + np.array([[0, 7.0, 0], [0, 0, 0], [0, 0, 0]])
    points = np.random.default_rng(0).uniform(-1, 1, (10, 2))
    pixels = project(np.column_stack([points, np.ones(10)]), skewed)
    np.testing.assert_allclose(rays(pixels, skewed), points, atol=1e-12)


def test_pose_error_known_answers() -> None:
    x, quarter = np.array([1.0, 0, 0]), cv2.Rodrigues(np.array([0, 0, np.pi / 2]))[0]
    assert relative_pose_error(None, TRUE) == FAILED
    assert FAILED.largest == np.inf
    error = relative_pose_error((quarter, -x), (np.eye(3), x))
    assert error.rotation == pytest.approx(90)
    assert error.translation == 0  # the sign of the direction is open
    assert relative_pose_error((np.eye(3), np.array([0, 1.0, 0])), (np.eye(3), x)).largest == 90


def test_no_translation_is_no_pose() -> None:
    """PoseLib hands over the identity when it finds nothing."""
    still = np.eye(3), np.zeros(3)
    assert relative_pose_error(still, (np.eye(3), np.array([1.0, 0, 0]))) == FAILED
    one_point = np.full((10, 2), 100.0)
    camera = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    matches = CalibratedMatches(one_point, one_point, camera, camera, np.ones(10, np.float32))
    assert estimate_pose(matches, "poselib", 0.5, seed=0) is None


def test_epipolar_distance_known_answer() -> None:
    """Cameras side by side: epipolar lines are rows, their distance is the step in y."""
    true: RotationTranslation = np.eye(3), np.array([1.0, 0, 0])
    a, b = np.array([[0.1, 0.2], [0.0, 0.0]]), np.array([[0.5, 0.23], [0.4, 0.0]])
    distances = epipolar_distances(a, b, true)
    np.testing.assert_allclose(distances, [2 * 0.03**2, 0], atol=1e-15)
    assert precision(distances, 1e-3) == 0.5
    assert precision(distances, 2e-3) == 1
    assert precision(np.zeros(0), 1e-3) == 0
    epipole = epipolar_distances(np.zeros((1, 2)), np.zeros((1, 2)), (np.eye(3), np.zeros(3)))
    assert epipole.tolist() == [np.inf]


def test_epipolar_distances_are_those_of_loftr() -> None:
    """Recorded from the metric in LoFTR's repository (commit df7ca80) on the same matches."""
    data = matches()
    distances = epipolar_distances(data.rays_a, data.rays_b, TRUE)
    assert distances.max() == pytest.approx(1.0500657936120483, rel=1e-9)
    assert np.median(distances) == pytest.approx(1.0724217132123552e-06, rel=1e-9)
    assert precision(distances, 5e-4) == pytest.approx(188 / 300)


def test_true_matches_are_precise() -> None:
    data = matches(noise=0, outliers=0.5)
    distances = epipolar_distances(data.rays_a, data.rays_b, TRUE)
    assert precision(distances, 1e-12) == pytest.approx(0.5)
