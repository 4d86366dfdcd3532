"""SiLK's metrics against its recorded results, known answers and empty inputs."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.homography_estimators import (
    EstimatorOptions,
    count_inliers,
    estimate_homography,
)
from silk_sfm.evaluation.homography_metrics import (
    corner_errors,
    homography_accuracy,
    matching_accuracy,
    repeatability,
)
from silk_sfm.evaluation.neighbours import nearest_within
from silk_sfm.geometry.homography import resized_homography
from silk_sfm.geometry.pose import area_under_curve
from silk_sfm.pixels import PixelGrid

SIZE = (160, 120)
SHIFT = np.array([[1.0, 0.0, 10.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def recorded() -> tuple[Any, dict[str, Any]]:
    numbers = json.loads(shared("reference", "metrics.json").read_text())
    return np.load(shared("reference", "metrics.npz")), numbers


def pair_of(arrays: Any, pair: int) -> dict[str, np.ndarray]:
    """Points of a recorded pair as (x, y), and its homography."""
    keys = {"a": "points_0_yx", "b": "points_1_yx"}
    keys |= {"matched_a": "matched_0_yx", "matched_b": "matched_1_yx"}
    found = {name: arrays[f"pair{pair}/{key}"][:, ::-1] for name, key in keys.items()}
    return {**found, "homography": arrays[f"pair{pair}/homography"]}


# ---------- against the recorded results ----------


@pytest.mark.parametrize("pair", range(4))
@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_repeatability_and_mma_as_recorded(pair: int, threshold: int) -> None:
    arrays, numbers = recorded()
    points = pair_of(arrays, pair)
    found = repeatability(points["a"], points["b"], points["homography"], SIZE, [threshold])
    expected = numbers[f"repeatability@{threshold}"]["per_pair"][pair]
    assert ([] if found is None else found) == pytest.approx(expected, abs=1e-6)
    matched = points["matched_a"], points["matched_b"], points["homography"]
    accuracy = numbers[f"mma@{threshold}"]["per_pair"][pair]
    assert matching_accuracy(*matched, [threshold]) == pytest.approx([accuracy], abs=1e-6)


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_homography_accuracy_and_auc_as_recorded(threshold: int) -> None:
    arrays, numbers = recorded()
    estimated = [arrays[f"hom_est/{i}/estimated"] for i in range(7)]
    true = [arrays[f"hom_est/{i}/true"] for i in range(7)]
    found = [None if np.isnan(matrix).any() else matrix for matrix in estimated]
    errors = corner_errors(found, true, [SIZE] * 7)
    accuracy = numbers[f"homography_accuracy@{threshold}"]["mean"]
    assert homography_accuracy(errors, threshold) == pytest.approx(accuracy, abs=1e-6)
    area = numbers[f"homography_auc@{threshold}"]
    assert area_under_curve(errors, [threshold]) == pytest.approx([area], abs=1e-6)


def test_ransac_as_recorded() -> None:
    """The matrix depends on OpenCV's version: its accuracy at each threshold does not."""
    arrays, numbers = recorded()
    pairs = [pair_of(arrays, pair) for pair in range(4)]
    found = [
        estimate_homography(pair["matched_a"], pair["matched_b"], EstimatorOptions(), 0)
        for pair in pairs
    ]
    assert [matrix is None for matrix in found] == numbers["ransac_returned_none"]
    errors = corner_errors(found, [pair["homography"] for pair in pairs], [SIZE] * 4)
    for threshold in (1, 2, 3):
        accuracy = numbers[f"ransac/homography_accuracy@{threshold}"]
        assert homography_accuracy(errors, threshold) == accuracy


def test_auc_as_recorded() -> None:
    arrays, numbers = recorded()
    key = "compute_auc(errors in metrics.npz auc/errors, thresholds 1,2,3,5,10)"
    errors = arrays["auc/errors"].astype(np.float64)
    found = area_under_curve(errors, [1, 2, 3, 5, 10])
    assert found == pytest.approx(numbers[key], abs=1e-6)


# ---------- known answers ----------


def test_repeatability_counts_points_that_both_images_show() -> None:
    a = np.array([[0.0, 0.0], [100.0, 50.0], [155.0, 60.0]])  # the last one leaves the image
    b = np.array([[10.0, 0.0], [112.0, 50.0], [5.0, 5.0]])  # the last one comes from outside
    found = repeatability(a, b, SHIFT, SIZE, [1, 2])
    assert found == [2 / 4, 4 / 4]


def test_repeatability_of_the_upper_left_border() -> None:
    """A point at the border of our pixels, -0.5, is inside; one further out is not."""
    points = np.array([[9.5, 20.0], [9.4, 20.0]])
    back = np.linalg.inv(SHIFT)
    assert repeatability(points, np.array([[-0.5, 20.0]]), back, SIZE, [1], -0.5) == [1.0]
    assert repeatability(points[1:], np.zeros((0, 2)), back, SIZE, [1], -0.5) is None


def test_repeatability_without_points() -> None:
    none, one = np.zeros((0, 2)), np.array([[50.0, 50.0]])
    assert repeatability(none, none, np.eye(3), SIZE, [1, 3]) is None
    assert repeatability(none, one, np.eye(3), SIZE, [1, 3]) == [0, 0]
    assert repeatability(one, none, np.eye(3), SIZE, [1, 3]) == [0, 0]


def test_matching_accuracy_is_inclusive_and_0_without_matches() -> None:
    a = np.array([[0.0, 0.0], [0.0, 0.0]])
    b = np.array([[10.0, 3.0], [10.0, 4.0]])
    assert matching_accuracy(a, b, SHIFT, [3, 4]) == [0.5, 1.0]
    assert matching_accuracy(a[:0], b[:0], SHIFT, [3, 4]) == [0.0, 0.0]


def test_corner_errors_of_a_shift_and_of_no_estimate() -> None:
    moved = SHIFT.copy()
    moved[:2, 2] += (3.0, 4.0)
    errors = corner_errors([moved, None], [SHIFT, SHIFT], [SIZE, SIZE])
    assert errors[0] == pytest.approx(5.0)
    assert errors[1] == np.inf
    assert homography_accuracy(errors, 5.1) == 0.5
    assert np.isnan(homography_accuracy(errors[:0], 1))


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.5, 3, 20])
)
def test_nearest_within_is_the_nearest(seed: int, n: int, m: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    points, others = rng.uniform(-30, 50, (n, 2)), rng.uniform(-30, 50, (m, 2))
    distances = np.linalg.norm(points[:, None] - others[None], axis=2).min(axis=1, initial=np.inf)
    expected = np.where(distances <= radius, distances, np.inf)
    np.testing.assert_allclose(nearest_within(points, others, radius), expected)


def test_nearest_within_includes_the_radius() -> None:
    points, others = np.array([[0.0, 0.0], [0.0, 10.0]]), np.array([[3.0, 0.0]])
    assert nearest_within(points, others, 3.0).tolist() == [3.0, np.inf]


# ---------- estimators ----------


@pytest.mark.parametrize("estimator", ["ransac", "magsac"])
def test_estimators_find_the_homography_among_outliers(estimator: Any) -> None:
    rng = np.random.default_rng(3)
    a = rng.uniform(0, 150, (200, 2))
    b = a + np.array([10.0, 0.0])
    b[:60] = rng.uniform(0, 150, (60, 2))
    options = EstimatorOptions(estimator)
    for seed in (0, 1):
        found = estimate_homography(a, b, options, seed)
        assert found is not None
        assert corner_errors([found], [SHIFT], [SIZE])[0] < 0.01
        assert count_inliers(found, a, b, 3.0) >= 140
    assert options.label == {"ransac": "OpenCV RANSAC", "magsac": "OpenCV MAGSAC"}[estimator]


def test_a_seed_is_repeatable_and_another_one_differs() -> None:
    rng = np.random.default_rng(3)
    a = rng.uniform(0, 150, (60, 2))
    b = a + rng.normal(0, 2.0, a.shape)
    found = [estimate_homography(a, b, EstimatorOptions(), seed) for seed in (0, 0, 1, 1)]
    assert all(matrix is not None for matrix in found)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert not np.array_equal(np.asarray(found[0]), np.asarray(found[2]))


def test_no_homography_from_three_matches_or_from_a_line() -> None:
    line = np.stack([np.arange(6.0), np.arange(6.0)], axis=1)
    assert estimate_homography(line[:3], line[:3], EstimatorOptions(), 0) is None
    assert estimate_homography(line, line, EstimatorOptions(), 0) is None
    assert count_inliers(None, line, line, 3.0) == 0


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="^threshold_px and max_iterations must be positive"):
        EstimatorOptions(threshold_px=0)


# ---------- resizing ----------


def test_resized_homographies_as_recorded() -> None:
    """The original scales in a frame whose origin is a corner; ours is half a pixel further in."""
    _, numbers = recorded()
    key = "hpatches_dataset_loader(min_img_size=[480,480], force=True, H_1_k = pair0/homography)"
    to_corner = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    in_corner_frame = np.array([[1.02, 0.05, 4.0], [-0.04, 0.97, -3.0], [2e-4, -1e-4, 1.0]])
    ours = np.linalg.inv(to_corner) @ in_corner_frame @ to_corner
    for case, expected in numbers[key].items():
        height, width = map(int, case.split("x"))
        _, new_height, new_width = expected["original"]
        grid_a = PixelGrid((width, height), (new_width, new_height))
        height_b, width_b = expected["pair_1_3_warped_source_hw"]
        grid_b = PixelGrid((width_b, height_b), (new_width, new_height))
        for grid, name in ((grid_a, "H_resized"), (grid_b, "pair_1_3_H_resized")):
            found = to_corner @ resized_homography(ours, grid_a, grid) @ np.linalg.inv(to_corner)
            np.testing.assert_allclose(found / found[2, 2], expected[name], rtol=1e-9, atol=1e-12)


def test_a_resized_homography_moves_pixel_centres() -> None:
    grid_a, grid_b = PixelGrid((200, 100), (100, 50)), PixelGrid((60, 60), (120, 180))
    resized = resized_homography(SHIFT, grid_a, grid_b)
    x, y = 7.0, 11.0
    raw = grid_a.to_raw(np.array([[x, y]])) + np.array([10.0, 0.0])
    expected = grid_b.to_input(raw)[0]
    moved = resized @ (x, y, 1.0)
    np.testing.assert_allclose(moved[:2] / moved[2], expected)
