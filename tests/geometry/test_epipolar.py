from __future__ import annotations

import numpy as np
import pytest
from two_view_scene import FOCAL, two_view_scene

from silk_sfm.geometry.epipolar import essential_from_pose, sampson_error, skew
from silk_sfm.geometry.refine import refine_epipolar, refine_step


def test_skew_is_the_cross_product() -> None:
    v, w = np.array([1.0, 2.0, 3.0]), np.array([-4.0, 5.0, 0.5])
    np.testing.assert_allclose(skew(v) @ w, np.cross(v, w))


def test_exact_points_have_no_error() -> None:
    scene = two_view_scene(outliers=0, noise_px=0)
    assert sampson_error(scene.fundamental, scene.pixels_a, scene.pixels_b).max() < 1e-9
    points = scene.correspondences(with_rays=True)
    assert points.rays_a is not None
    assert points.rays_b is not None
    assert sampson_error(scene.essential, points.rays_a, points.rays_b).max() < 1e-12


def test_sampson_known_answer() -> None:
    # Sideways motion: rows correspond, and an offset of d rows is shared by both points.
    sideways = essential_from_pose(np.eye(3), np.array([1.0, 0.0, 0.0]))
    error = sampson_error(sideways, np.array([[5.0, 3.0]]), np.array([[9.0, 5.0]]))
    np.testing.assert_allclose(error, 2 / np.sqrt(2))


def test_essential_and_fundamental_errors_agree() -> None:
    scene = two_view_scene()
    points = scene.correspondences(with_rays=True)
    assert points.rays_a is not None
    assert points.rays_b is not None
    in_pixels = sampson_error(scene.fundamental, scene.pixels_a, scene.pixels_b)
    in_rays = sampson_error(scene.essential, points.rays_a, points.rays_b)
    np.testing.assert_allclose(in_rays * FOCAL, in_pixels, rtol=1e-6)


def test_undefined_error_is_infinite() -> None:
    points = np.ones((2, 2))
    assert np.isinf(sampson_error(np.zeros((3, 3)), points, points)).all()
    assert sampson_error(np.eye(3), np.zeros((0, 2)), np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize("is_essential", [True, False])
def test_refinement_comes_close_to_the_exact_matrix(is_essential: bool) -> None:
    scene = two_view_scene(outliers=0, noise_px=0)
    points = scene.correspondences(with_rays=True)
    assert points.rays_a is not None
    assert points.rays_b is not None
    start = scene.essential + np.random.default_rng(0).normal(scale=1e-3, size=(3, 3))
    refined = refine_epipolar(start, points.rays_a, points.rays_b, 3e-3, is_essential)
    errors = sampson_error(refined, points.rays_a, points.rays_b)
    assert errors.max() < 1e-5
    values = np.linalg.svd(refined, compute_uv=False)
    assert values[2] < 1e-12
    if is_essential:
        np.testing.assert_allclose(values[0], values[1])


def test_a_step_lowers_the_error_of_noisy_points() -> None:
    scene = two_view_scene(outliers=0, noise_px=0.5)
    points = scene.correspondences(with_rays=True)
    assert points.rays_a is not None
    assert points.rays_b is not None
    start = essential_from_pose(np.eye(3), np.array([0.9, 0.3, 0.2]))
    errors = []
    for _ in range(6):
        start = refine_step(start, points.rays_a, points.rays_b, is_essential=True)
        errors.append(np.square(sampson_error(start, points.rays_a, points.rays_b)).sum())
    assert errors[-1] < errors[0]
    truth = np.square(sampson_error(scene.essential, points.rays_a, points.rays_b)).sum()
    assert errors[-1] <= truth * 1.001, "least squares fit the noise at least as well as the truth"
