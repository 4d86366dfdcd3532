from __future__ import annotations

import cv2
import numpy as np
import pytest

from silk_sfm.geometry.pose import (
    align_similarity,
    area_under_curve,
    direction_angle,
    pair_errors,
    relative_pose,
    rotation_angle,
)


def turn(*degrees: float) -> np.ndarray:
    return np.asarray(cv2.Rodrigues(np.radians(np.array(degrees)))[0])


@pytest.mark.parametrize("degrees", [0.0, 1e-7, 0.01, 30.0, 90.0, 179.9, 180.0])
def test_rotation_angle_is_the_angle_of_the_turn(degrees: float) -> None:
    base = turn(10, 20, 30)
    assert rotation_angle(base, turn(0, degrees, 0) @ base) == pytest.approx(degrees, abs=1e-5)


def test_direction_angle() -> None:
    x, y, zero = np.array([2.0, 0, 0]), np.array([0, 0.1, 0]), np.zeros(3)
    assert direction_angle(x, y) == 90
    assert direction_angle(x, -x) == 180
    assert direction_angle(x, np.array([1, 1e-9, 0])) == pytest.approx(np.degrees(1e-9))
    assert direction_angle(zero, zero) == 0
    assert direction_angle(x, zero) == 180


def test_relative_pose_takes_camera_a_to_camera_b() -> None:
    a = turn(5, 6, 7), np.array([1.0, 2, 3])
    b = turn(-9, 1, 2), np.array([0.0, -1, 2])
    point = np.array([0.3, 0.4, 5.0])
    rotation, translation = relative_pose(a, b)
    np.testing.assert_allclose(
        rotation @ (a[0] @ point + a[1]) + translation, b[0] @ point + b[1], atol=1e-12
    )


def test_pair_errors_known_answer() -> None:
    """c turned by 3 degrees about its own centre: translation a -> c turns with it."""
    centres = {"a": np.zeros(3), "b": np.array([1.0, 0, 0]), "c": np.array([0, 1.0, 0])}
    true = {name: (np.eye(3), -centre) for name, centre in centres.items()}
    turned = turn(0, 0, 3)
    found = {"a": true["a"], "b": true["b"], "c": (turned, turned @ true["c"][1])}
    errors = pair_errors(found, true)
    assert errors.pairs == (("a", "b"), ("a", "c"), ("b", "c"))
    np.testing.assert_allclose(errors.rotation, [0, 3, 3], atol=1e-9)
    np.testing.assert_allclose(errors.translation, [0, 3, 3], atol=1e-9)
    np.testing.assert_allclose(errors.largest, [0, 3, 3], atol=1e-9)


def test_pair_errors_ignore_scale_and_world() -> None:
    random = np.random.default_rng(0)
    true = {name: (turn(*random.uniform(-40, 40, 3)), random.normal(size=3)) for name in "abcd"}
    world, shift, scale = turn(20, 50, 70), np.array([3.0, 4, 5]), 7.0
    found = {
        name: (rotation @ world.T, scale * translation - rotation @ world.T @ shift)
        for name, (rotation, translation) in true.items()
    }
    np.testing.assert_allclose(pair_errors(found, true).largest, 0, atol=1e-6)


def test_image_without_pose_fails_its_pairs() -> None:
    true = {name: (np.eye(3), np.array([float(i), 0, 0])) for i, name in enumerate("abc")}
    errors = pair_errors({"a": true["a"], "b": true["b"]}, true)
    np.testing.assert_array_equal(errors.largest, [0, np.inf, np.inf])
    assert pair_errors({}, {}).largest.shape == (0,)


def test_area_under_curve_known_answers() -> None:
    assert area_under_curve(np.zeros(4), [5]) == [1.0]
    assert area_under_curve(np.full(4, np.inf), [5, 10]) == [0.0, 0.0]
    assert area_under_curve(np.zeros(0), [5]) == [0.0]
    # (0, 0) (1, 1/2) (3, 1) held until 4: 1/4 + 2 * 3/4 + 1 = 2.75
    assert area_under_curve(np.array([3.0, 1.0]), [4]) == [pytest.approx(2.75 / 4)]
    # an error at the threshold does not count: 1/4 + 2 * 1/2
    assert area_under_curve(np.array([3.0, 1.0]), [3]) == [pytest.approx(1.25 / 3)]


def test_area_under_curve_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match=r"^Thresholds must be positive and no error NaN\.$"):
        area_under_curve(np.ones(3), [0])
    with pytest.raises(ValueError, match="no error NaN"):
        area_under_curve(np.array([np.nan]), [5])


def test_align_similarity_finds_the_similarity() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    target = 2.5 * points @ turn(30, -60, 100).T + [1.0, -2.0, 3.0]
    found = align_similarity(points, target)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, turn(30, -60, 100), atol=1e-12)
    np.testing.assert_allclose(found.apply(points), target, atol=1e-12)


def test_align_similarity_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    found = align_similarity(points, points * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    plane = points * [1, 1, 0]
    np.testing.assert_allclose(align_similarity(plane, plane).apply(points), points, atol=1e-9)


def test_align_similarity_refuses_open_rotations() -> None:
    with pytest.raises(ValueError, match=r"^A similarity needs at least three points, got 2\.$"):
        align_similarity(np.zeros((2, 3)), np.zeros((2, 3)))
    line = np.arange(5.0)[:, None] * [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="lie on a line"):
        align_similarity(line, line)
