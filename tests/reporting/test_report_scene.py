"""The 3D view's data: which points, how exactly, seen from where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from many_view_scene import TRUE, many_view_scene

from silk_sfm.colmap.model import Model, Points, Pose
from silk_sfm.reporting.scene import STEPS, chosen_points, make_scene


def model(n_images: int = 6, n_points: int = 500, scale: float = 1.0) -> Model:
    """Cameras on an arc around a box of points; y points down."""
    scene = many_view_scene(n_images, n_points)
    n = len(scene.points)
    colours = np.tile(np.array([[60, 30, 0]], np.uint8), (n, 1))
    points = Points(scene.points * scale, colours, np.ones(n), np.full(n, n_images))
    poses = {name: Pose(pose[0], pose[1] * scale) for name, pose in scene.poses.items()}
    return Model(poses, dict.fromkeys(poses, TRUE), points)


def test_points_come_back_within_a_step() -> None:
    made, scene = model(), make_scene(model())
    back = scene.origin + scene.steps / STEPS * scene.extent
    assert scene.n_hidden == 0
    assert np.abs(back - made.points.xyz).max() <= scene.extent.max() / STEPS / 2 * 1.001


def test_cameras_are_those_of_the_model() -> None:
    made, scene = model(), make_scene(model())
    assert scene.cameras.shape == (6, 14)
    for row, pose in zip(scene.cameras, made.poses.values(), strict=True):
        assert np.allclose(row[:3], pose.centre, atol=1e-6)
        assert np.allclose(row[3:12].reshape(3, 3), pose.rotation, atol=1e-6)
        assert np.allclose(row[12:], np.array([800, 600]) / 2 / 600)


def test_the_view_is_upright_and_looks_where_cameras_look() -> None:
    scene = make_scene(model())
    assert scene.up @ [0, -1, 0] > 0.95
    assert scene.ahead @ [0, 0, 1] > 0.95
    assert abs(scene.up @ scene.ahead) < 1e-9
    assert np.linalg.norm([scene.up, scene.ahead], axis=1) == pytest.approx(1)
    away = np.linalg.norm(scene.cameras[:, :3] - scene.target, axis=1)
    assert away.max() <= scene.radius


@given(st.sampled_from([1e-3, 1.0, 1e4]))
def test_the_view_scales_with_the_model(scale: float) -> None:
    one, other = make_scene(model()), make_scene(model(scale=scale))
    assert other.radius == pytest.approx(scale * one.radius)
    assert other.frustum == pytest.approx(scale * one.frustum)
    assert np.allclose(other.target, scale * one.target)


def test_far_points_neither_show_nor_decide_the_view() -> None:
    made = model()
    far = np.concatenate([made.points.xyz, [[1e6, 0, 0], [0, -1e5, 0]]])
    n = len(far)
    points = Points(far, np.zeros((n, 3), np.uint8), np.ones(n), np.ones(n, np.int64))
    scene = make_scene(Model(made.poses, made.cameras, points))
    assert scene.n_hidden == 2
    assert scene.extent.max() < 5
    assert scene.radius == pytest.approx(make_scene(made).radius, rel=0.05)


@given(st.integers(0, 400), st.integers(1, 100))
def test_decimation_is_even_and_repeatable(n_points: int, most: int) -> None:
    xyz = np.random.default_rng(0).normal(size=(n_points, 3))
    rows = chosen_points(xyz, most)
    assert len(rows) == min(n_points, most)
    assert np.array_equal(rows, chosen_points(xyz, most))
    assert len(set(rows.tolist())) == len(rows)
    if len(rows) > 1:
        assert np.ptp(np.diff(rows)) <= 1


def test_dark_points_are_brightened_in_their_hue() -> None:
    scene = make_scene(model())
    red, green, blue = scene.colours[0].astype(float)
    assert red > 60
    assert green / red == pytest.approx(0.5, abs=0.02)
    assert blue == 0


def test_a_model_without_points_or_with_one_camera() -> None:
    made = model(n_images=1)
    none = Points(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0), np.zeros(0, np.int64))
    scene = make_scene(Model(made.poses, made.cameras, none))
    assert scene.steps.shape == (0, 3)
    assert scene.radius > 0
    assert scene.frustum > 0
    assert np.isfinite(scene.cameras).all()
