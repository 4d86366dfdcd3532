from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silk_sfm.geometry.pose import rotation_angle
from silk_sfm.geometry.rigid import ransac_rigid, weighted_procrustes


def motion(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return cv2.Rodrigues(rng.normal(size=3))[0], rng.normal(size=3)


@given(st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_procrustes_finds_the_motion(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    points, (rotation, translation) = rng.normal(size=(n, 3)), motion(rng)
    found = weighted_procrustes(
        points, points @ rotation.T + translation, rng.uniform(0.1, 1, size=n)
    )
    assert np.linalg.det(found[0]) == pytest.approx(1)
    moved = points @ found[0].T + found[1]
    np.testing.assert_allclose(moved, points @ rotation.T + translation, atol=1e-9)


def test_procrustes_known_answer() -> None:
    """Without weight the third point decides nothing: b is a turned by 90 degrees about z."""
    a = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]])
    b = np.array([[0.0, 1, 3], [0, -1, 3], [-1, 0, 3], [0, 0, 4], [9, -9, 9]])
    rotation, translation = weighted_procrustes(a, b, np.array([1.0, 1, 1, 1, 0]))
    np.testing.assert_allclose(rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(translation, [0, 0, 3], atol=1e-12)


def test_weights_pull_the_answer() -> None:
    """Two points that want to move by 0 and by 4 along x meet at the weighted mean."""
    a = np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    _, translation = weighted_procrustes(a, a + np.array([4.0, 0, 0]), np.ones(3))
    np.testing.assert_allclose(translation, [4, 0, 0], atol=1e-12)
    line = np.array([[0.0, 0, 0], [1, 0, 0]])
    stretched = np.array([[0.0, 0, 0], [3, 0, 0]])
    rotation, translation = weighted_procrustes(line, stretched, np.array([3.0, 1.0]))
    centre = rotation @ [0.25, 0, 0] + translation
    np.testing.assert_allclose(centre, [0.75, 0, 0], atol=1e-12)


def test_procrustes_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    rotation, _ = weighted_procrustes(points, points * [1, 1, -1], np.ones(20))
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_procrustes_works_on_batches() -> None:
    rng = np.random.default_rng(1)
    a, b, weights = rng.normal(size=(4, 7, 3)), rng.normal(size=(4, 7, 3)), rng.uniform(size=(4, 7))
    rotations, translations = weighted_procrustes(a, b, weights)
    for row in range(4):
        rotation, translation = weighted_procrustes(a[row], b[row], weights[row])
        np.testing.assert_allclose(rotations[row], rotation, atol=1e-12)
        np.testing.assert_allclose(translations[row], translation, atol=1e-12)


@pytest.mark.parametrize("n", [30, 400])
def test_ransac_sees_through_outliers(n: int) -> None:
    rng = np.random.default_rng(n)
    a, (rotation, translation) = rng.uniform(-2, 2, (n, 3)), motion(rng)
    b = a @ rotation.T + translation + rng.normal(scale=0.004, size=(n, 3))
    is_true = np.arange(n) % 3 == 0
    b[~is_true] = rng.uniform(-4, 4, ((~is_true).sum(), 3))
    found = ransac_rigid(a, b, np.ones(n), 0.03, 500, np.random.default_rng(0))
    assert found is not None
    assert rotation_angle(found.rotation, rotation) < 0.5
    np.testing.assert_allclose(found.translation, translation, atol=0.02)
    assert found.inliers[is_true].all()
    assert found.inliers[~is_true].sum() <= 1


def test_ransac_is_reproducible_and_prefers_weight() -> None:
    """Two motions explain the points; the one with fewer but heavier matches wins."""
    rng = np.random.default_rng(5)
    a = rng.uniform(-1, 1, (100, 3))
    b = a + np.where(np.arange(100)[:, None] < 40, [1.0, 0, 0], [0, 2.0, 0])
    weights = np.where(np.arange(100) < 40, 0.9, 0.1)
    runs = [ransac_rigid(a, b, weights, 0.01, 200, np.random.default_rng(3)) for _ in range(2)]
    assert runs[0] is not None
    assert runs[1] is not None
    np.testing.assert_allclose(runs[0].translation, [1, 0, 0], atol=1e-9)
    np.testing.assert_array_equal(runs[0].rotation, runs[1].rotation)


def test_ransac_without_enough_matches() -> None:
    rng = np.random.default_rng(0)
    for n in range(3):
        points = rng.normal(size=(n, 3))
        assert ransac_rigid(points, points, np.ones(n), 0.1, 10, rng) is None
    far = rng.normal(size=(10, 3)) * 100
    assert ransac_rigid(far, far[::-1] * 3, np.ones(10), 1e-6, 10, rng) is None
