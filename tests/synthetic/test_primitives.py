import numpy as np
import pytest

from silk_sfm.synthetic.primitives import Frustum, Ground, Panel, Shape
from silk_sfm.synthetic.rays import parallel_rays, pinhole_rays
from silk_sfm.synthetic.tracing import first_hits
from silk_sfm.synthetic.views import PinholeView, look_at


def view_from(centre: tuple[float, float, float], size: int = 33) -> PinholeView:
    rotation, translation = look_at(np.array(centre), np.array([0.0, 0.0, 1.0]))
    middle = (size - 1) / 2
    return PinholeView("a.png", size, size, size, (middle, middle), rotation, translation)


def wall(y: float = 0.0, cutout: np.ndarray | None = None) -> Panel:
    """4 m wide and 2 m high around (0, y, 1), facing south."""
    east, down = np.array([1.0, 0, 0]), np.array([0, 0, -1.0])
    return Panel(np.array([-2.0, y, 2.0]), east, down, (4.0, 2.0), cutout)


def bumpy_ground() -> Ground:
    north, east = np.mgrid[:128, :128] / 20.0
    return Ground((0.1 + 0.1 * np.sin(north) * np.cos(east)).astype(np.float32), 6.0)


SHAPES: dict[str, Shape] = {
    "panel": wall(),
    "cone": Frustum(np.array([0.2, 0.1, 0.0]), (1.4, 0.3), 2.0),
    "cylinder": Frustum(np.zeros(3), (0.8, 0.8), 2.0),
    "ground": bumpy_ground(),
}


def test_depth_of_a_wall_is_its_distance_along_the_axis() -> None:
    hits = first_hits(pinhole_rays(view_from((0.0, -10.0, 1.0))), [wall()])
    seen = hits.shape == 0
    np.testing.assert_allclose(hits.distance[seen], 10.0)
    # 4 m x 2 m at 10 m and a focal length of 33 px: 13.2 x 6.6 px around the centre of pixel 16
    np.testing.assert_array_equal(np.flatnonzero(seen.any(axis=0)), np.arange(10, 23))
    np.testing.assert_array_equal(np.flatnonzero(seen.any(axis=1)), np.arange(13, 20))
    assert np.isinf(hits.distance[~seen]).all()


def test_the_nearer_wall_hides_the_other() -> None:
    rays = pinhole_rays(view_from((0.0, -10.0, 1.0)))
    for order in ([wall(0), wall(3)], [wall(3), wall(0)]):
        assert first_hits(rays, order).distance[16, 16] == pytest.approx(10)


def test_a_cutout_lets_rays_pass() -> None:
    cutout = np.ones((20, 40), np.float32)
    cutout[5:15, 10:30] = 0
    hits = first_hits(pinhole_rays(view_from((0.0, -10.0, 1.0))), [wall(0, cutout), wall(5)])
    assert hits.shape[16, 16] == 1
    assert hits.shape[16, 10] == 0


def test_a_cylinder_is_met_one_radius_before_its_middle() -> None:
    rays = pinhole_rays(view_from((0.0, -10.0, 1.0)))
    assert first_hits(rays, [SHAPES["cylinder"]]).distance[16, 16] == pytest.approx(9.2)


@pytest.mark.parametrize("name", SHAPES)
def test_hits_lie_on_the_shape(name: str) -> None:
    shape = SHAPES[name]
    rays = pinhole_rays(view_from((3.0, -8.0, 3.0), 65))
    hits = first_hits(rays, [shape])
    y, x = np.nonzero(hits.shape == 0)
    assert len(x) > 100
    points = rays.points(x, y, hits.distance[y, x])
    uv = shape.locate(points)
    np.testing.assert_allclose(shape.place(uv), points, atol=2e-3)
    assert (uv >= -1e-9).all()
    assert (uv <= np.array(shape.size) + 1e-9).all()


@pytest.mark.parametrize("name", SHAPES)
def test_axes_are_the_directions_of_the_texture(name: str) -> None:
    shape = SHAPES[name]
    uv = np.random.default_rng(1).uniform(0.2, 0.8, (40, 2)) * shape.size
    right, down = shape.axes(shape.place(uv))
    step = 0.02
    for axis, shift in ((right, (step, 0)), (down, (0, step))):
        moved = shape.place(uv + shift) - shape.place(uv)
        cosine = (moved * axis).sum(axis=1) / np.linalg.norm(moved, axis=1)
        np.testing.assert_allclose(cosine, 1, atol=1e-3)
    assert (np.abs((right * down).sum(axis=1)) < 0.1).all()


def test_boxes_hold_what_is_seen() -> None:
    rays = pinhole_rays(view_from((3.0, -6.0, 3.0), 65))
    y, x = np.mgrid[:65, :65].astype(float)
    for shape in SHAPES.values():
        everywhere = np.isfinite(shape.distance(rays, x, y))
        np.testing.assert_array_equal(first_hits(rays, [shape]).shape == 0, everywhere)


def test_what_lies_behind_the_camera_is_not_seen() -> None:
    rays = pinhole_rays(view_from((0.0, -10.0, 1.0)))
    assert (first_hits(rays, [wall(-12.0)]).shape == -1).all()


def test_parallel_rays_measure_along_the_light() -> None:
    rays = parallel_rays(np.array([0.0, 0.0, 1.0]), 6.0, 41)
    flat = Ground(np.zeros((16, 16), np.float32), 6.0)
    low, high = (first_hits(rays, [shape]).distance[20, 20] for shape in (flat, bumpy_ground()))
    height = float(bumpy_ground().height_at(np.zeros(1), np.zeros(1))[0])
    assert low - high == pytest.approx(height, abs=1e-5)
