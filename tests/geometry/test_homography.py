from __future__ import annotations

import numpy as np

from silk_sfm.geometry.homography import apply_homography, corner_error, transfer_error


def test_apply_known_answer() -> None:
    homography = np.array([[2.0, 0.0, 1.0], [0.0, 2.0, -1.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(apply_homography(homography, np.array([[3.0, 4.0]])), [[7.0, 7.0]])
    np.testing.assert_allclose(apply_homography(-5 * homography, np.ones((1, 2))), [[3.0, 1.0]])


def test_inverse_brings_points_back() -> None:
    random = np.random.default_rng(0)
    homography = np.eye(3) + random.normal(scale=[[0.1], [0.1], [1e-4]], size=(3, 3))
    points = random.uniform(0, 500, (20, 2))
    there = apply_homography(homography, points)
    np.testing.assert_allclose(apply_homography(np.linalg.inv(homography), there), points)


def test_transfer_error_is_infinite_at_infinity() -> None:
    to_infinity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    points = np.array([[0.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(transfer_error(to_infinity, points, points), [np.inf, 0.0])


def test_corner_error_known_answer() -> None:
    shift = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 4.0], [0.0, 0.0, 1.0]])
    assert corner_error(shift, np.eye(3), (640, 480)) == 5.0
    scale = np.diag([2.0, 1.0, 1.0])  # moves the right corners by 639 pixels
    assert corner_error(scale, np.eye(3), (640, 480)) == 639 / 2


def test_empty() -> None:
    assert apply_homography(np.eye(3), np.zeros((0, 2))).shape == (0, 2)
    assert transfer_error(np.eye(3), np.zeros((0, 2)), np.zeros((0, 2))).shape == (0,)
