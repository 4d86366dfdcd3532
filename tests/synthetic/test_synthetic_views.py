import numpy as np
import pytest

from silk_sfm.synthetic import PinholeView, demo_views
from silk_sfm.synthetic.views import look_at


def simple_view() -> PinholeView:
    rotation, translation = look_at(np.array([0.0, -10.0, 0.0]), np.zeros(3))
    return PinholeView("a.png", 40, 30, 20.0, (19.5, 14.5), rotation, translation)


def test_known_projection() -> None:
    view = simple_view()
    np.testing.assert_allclose(view.centre, [0, -10, 0], atol=1e-12)
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]])  # middle, east is right, up is up
    expected = [[19.5, 14.5], [21.5, 14.5], [19.5, 12.5]]
    np.testing.assert_allclose(view.project(points), expected, atol=1e-12)


def test_unproject_undoes_project() -> None:
    view = demo_views(3)[2]
    points = np.random.default_rng(0).uniform(-3, 3, (50, 3))
    depth = (points @ view.rotation.T + view.translation)[:, 2]
    np.testing.assert_allclose(view.unproject(view.project(points), depth), points, atol=1e-9)
    assert view.project(np.zeros((0, 3))).shape == (0, 2)


def test_enlarging_keeps_the_outer_corner_of_the_image() -> None:
    view = simple_view()
    fine = view.enlarged(2)
    assert (fine.width, fine.height) == (80, 60)
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 0.0, 1.0]])
    expected = (view.project(points) + 0.5) * 2 - 0.5
    np.testing.assert_allclose(fine.project(points), expected)


def test_demo_views_look_at_the_village_from_nearby_directions() -> None:
    views = demo_views()
    assert len(views) == 16
    assert len({view.name for view in views}) == 16
    for view in views:
        np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(view.rotation) == pytest.approx(1)
        assert np.abs(view.project(np.array([[0, 0.8, 2.7]]))[0] - [319.5, 239.5]).max() < 30
        assert view.centre[2] > 1.5
    steps = [angle_between(a, b) for a, b in zip(views, views[2:], strict=False)]
    assert min(steps) > 8
    assert max(steps) < 15


def angle_between(a: PinholeView, b: PinholeView) -> float:
    """Degrees between the directions to two cameras, on the map."""
    azimuths = [np.arctan2(view.centre[0], -view.centre[1]) for view in (a, b)]
    return float(np.degrees(abs(azimuths[1] - azimuths[0])))


def test_views_are_the_same_for_the_same_seed() -> None:
    for a, b in zip(demo_views(4, seed=3), demo_views(4, seed=3), strict=True):
        np.testing.assert_array_equal(a.rotation, b.rotation)
        np.testing.assert_array_equal(a.translation, b.translation)
    assert not np.array_equal(demo_views(4)[0].rotation, demo_views(4, seed=1)[0].rotation)
    assert demo_views(0) == []


def test_a_view_checks_its_shapes() -> None:
    with pytest.raises(ValueError, match=r"translation has shape \(1,\), expected \(3\)"):
        PinholeView("a.png", 4, 3, 2.0, (1.5, 1.0), np.eye(3), np.zeros(1))
