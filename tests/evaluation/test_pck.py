"""PCK against Descriptor Space's recorded results."""

from typing import Any

import numpy as np
import pytest
from shared_data import shared

from silk_sfm.evaluation.hpatches_pck import size_with_long_side
from silk_sfm.evaluation.kp2d_metrics import nearest_l2
from silk_sfm.evaluation.pck import correct_keypoints, draw_correspondences, truncated_targets

SHIFT = np.array([[1.0, 0.0, 10.4], [0.0, 1.0, -3.4], [0.0, 0.0, 1.0]])


def recorded() -> Any:
    return np.load(shared("reference_others", "msnet", "pck.npz"))


def test_targets_as_recorded() -> None:
    arrays = recorded()
    height, width = map(int, arrays["hw"])
    targets, mask = truncated_targets(arrays["H"], (width, height), (width, height))
    np.testing.assert_array_equal(mask, arrays["mask"])
    np.testing.assert_array_equal(targets, arrays["flow_map_int"])


def test_pck_as_recorded() -> None:
    arrays = recorded()
    a, b, points_b = arrays["descs0"], arrays["descs1"], arrays["kps1"]
    np.testing.assert_array_equal(nearest_l2(a, b), arrays["nn_exact_idx"])
    expected = [float(arrays[f"pck_exact_nn_thresh{threshold}"]) for threshold in (1, 3, 5)]
    assert correct_keypoints(a, b, points_b, (1, 3, 5)) == pytest.approx(expected, abs=1e-12)


def test_size_as_recorded() -> None:
    arrays = recorded()
    height, width = arrays["resize_in"].shape[:2]
    assert size_with_long_side((width, height), 64) == arrays["resize_max_length64"].shape[1::-1]


def test_targets_are_cut_towards_zero() -> None:
    targets, mask = truncated_targets(SHIFT, (20, 10), (20, 10))
    assert targets[4, 3].tolist() == [13, 0]
    assert targets[3, 3].tolist() == [13, 0]  # y = -0.4 counts as inside
    assert mask[3, 3]
    assert not mask[2, 3]  # y = -1.4
    assert not mask[5, 10]  # x = 20.4


def test_drawn_points_are_corners_inside_both_images() -> None:
    grey = np.zeros((60, 80), np.float32)
    grey[20:40, 30:50] = 1.0
    rng = np.random.default_rng(0)
    points, moved = draw_correspondences(grey, SHIFT, (80, 60), rng, n_points=50)
    assert 0 < len(points) <= 50
    np.testing.assert_array_equal(moved, np.trunc(points + np.array([10.4, -3.4])))
    corners = np.array([[30, 20], [49, 20], [30, 39], [49, 39]])
    nearest = np.linalg.norm(points[:, None] - corners[None], axis=2).min(axis=1)
    assert nearest.max() < 4


def test_points_without_texture() -> None:
    flat = np.zeros((60, 80), np.float32)
    points, moved = draw_correspondences(flat, SHIFT, (80, 60), np.random.default_rng(0))
    assert points.shape == moved.shape == (0, 2)
    none = np.zeros((0, 8), np.float32)
    assert np.isnan(correct_keypoints(none, none, points, (1, 3))).all()
