from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from silk_sfm.errors import ImageError
from silk_sfm.synthetic import (
    PinholeView,
    Scene,
    Surface,
    demo_scene,
    demo_views,
    render,
    render_clean,
    render_depth,
    write_photos,
)
from silk_sfm.synthetic.primitives import Panel
from silk_sfm.synthetic.sky import make_sky
from silk_sfm.synthetic.texture import make_texture

SIZE = (160, 120)


@pytest.fixture(scope="module")
def village() -> Scene:
    return demo_scene(detail=0.3)


def quarter_wall(split: float) -> Scene:
    """A wall in the plane y = 10 that is white for x > `split` and above z = 0, black elsewhere."""
    corner, size = np.array([split - 8.0, 10.0, 8.0]), (16.0, 16.0)
    wall = Panel(corner, np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), size)
    image = np.zeros((512, 512, 3), np.uint8)
    image[:256, 256:] = 255
    sky = np.full((8, 8, 3), 100, np.uint8)
    return Scene((Surface(wall, make_texture(image, size)),), sky, 0)


def front_view() -> PinholeView:
    """At the origin, looking north; one pixel is 1 / 16 of the depth."""
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return PinholeView("a.png", 16, 16, 16.0, (8.0, 8.0), rotation, np.zeros(3))


def test_an_edge_is_rendered_where_it_projects() -> None:
    # The principal point is the centre of pixel 8, so x = 0 there: half of the pixel is white.
    columns = render_clean(front_view(), quarter_wall(0.0))[2, :, 0]
    np.testing.assert_allclose(columns[[6, 7, 9, 10]], [0, 0, 255, 255], atol=8)
    assert columns[8] == pytest.approx(127.5, abs=12)


@pytest.mark.parametrize("shift", [-0.5, 0.25, 0.5, 1.0])
def test_an_edge_between_pixels(shift: float) -> None:
    columns = render_clean(front_view(), quarter_wall(shift * 10 / 16))[2, :, 0]
    white = (columns - columns[0]) / (columns[-1] - columns[0])  # haze is in both
    edge = 15.5 - white.sum()  # white reaches from the edge to the outer corner, x = 15.5
    assert edge == pytest.approx(8 + shift, abs=0.06)


def test_distance_haze_and_sky() -> None:
    view = front_view()
    narrow = quarter_wall(0.0)
    away = replace(view, rotation=view.rotation @ np.diag([-1.0, -1, 1]))  # looking south
    assert np.isinf(render_depth(away, narrow)).all()
    np.testing.assert_allclose(render_clean(away, narrow), 100, atol=1e-3)
    np.testing.assert_allclose(render_depth(view, narrow), 10.0)


def test_the_village_has_sky_above_and_ground_below(village: Scene) -> None:
    for view in demo_views(2, SIZE):
        depth = render_depth(view, village)
        assert depth.shape == SIZE[::-1]
        assert depth.dtype == np.float64
        assert np.isinf(depth[0]).mean() > 0.5
        assert np.isfinite(depth[-40:]).all()
        assert depth[-1].min() > 2
        photo = render(view, village)
        assert photo.shape == (*SIZE[::-1], 3)
        assert photo.dtype == np.uint8
        assert photo.std() > 30


def test_views_agree_on_the_colour_of_each_point(village: Scene) -> None:
    a, b = demo_views(16, SIZE)[4:6]
    shares = [agreement(a, b, village), agreement(b, a, village)]
    assert min(shares) > 0.9


def agreement(a: PinholeView, b: PinholeView, scene: Scene) -> float:
    """Share of the pixels of `a`, visible in `b`, that have nearly the same colour there."""
    depth = render_depth(a, scene)
    y, x = np.nonzero(np.isfinite(depth))
    points = a.unproject(np.column_stack([x, y]).astype(float), depth[y, x])
    there = b.project(points).astype(np.float32)
    expected = (points @ b.rotation.T + b.translation)[:, 2]
    maps = there[:, :1], there[:, 1:]
    found = cv2.remap(render_depth(b, scene), *maps, cv2.INTER_NEAREST, borderValue=0)[:, 0]
    visible = np.abs(found / expected - 1) < 0.01
    assert visible.mean() > 0.4
    smooth = [cv2.GaussianBlur(render_clean(view, scene), (0, 0), 1.0) for view in (a, b)]
    colours = cv2.remap(smooth[1], *maps, cv2.INTER_LINEAR)[:, 0]
    error = np.abs(smooth[0][y, x] - colours).mean(axis=1)
    return float((error[visible] < 20).mean())


def test_depth_agrees_between_views(village: Scene) -> None:
    a, b = demo_views(16, SIZE)[8:10]
    depth = render_depth(a, village)
    y, x = np.nonzero(np.isfinite(depth))
    points = a.unproject(np.column_stack([x, y]).astype(float), depth[y, x])
    column, row = np.rint(b.project(points)).astype(int).T
    inside = (column >= 0) & (column < SIZE[0]) & (row >= 0) & (row < SIZE[1])
    expected = (points @ b.rotation.T + b.translation)[inside, 2]
    found = render_depth(b, village)[row[inside], column[inside]]
    in_front = found > expected * 1.05 + 0.3  # b sees through what a saw: only at outlines
    assert in_front.mean() < 0.04


def test_photos_depend_on_seed_and_name_only(village: Scene) -> None:
    view = demo_views(1, SIZE)[0]
    photo = render(view, village)
    np.testing.assert_array_equal(photo, render(view, village))
    assert not np.array_equal(photo, render(replace(view, name="other.png"), village))


def test_the_scene_is_the_same_for_the_same_seed(village: Scene) -> None:
    again = demo_scene(detail=0.3)
    assert len(again.surfaces) == len(village.surfaces)
    for a, b in zip(again.surfaces, village.surfaces, strict=True):
        np.testing.assert_array_equal(a.texture.atlas, b.texture.atlas)
    np.testing.assert_array_equal(
        make_sky(np.random.default_rng(1)), make_sky(np.random.default_rng(1))
    )


def test_written_photos(tmp_path: Path) -> None:
    views = [replace(front_view(), name=name) for name in ("b.png", "c.jpg")]
    paths = write_photos(tmp_path / "photos", views, quarter_wall(0.0))
    assert [path.name for path in paths] == ["b.png", "c.jpg"]
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == ["b.png", "c.jpg"]
    stored = cv2.imread(str(paths[0]))[:, :, ::-1]
    np.testing.assert_array_equal(stored, render(views[0], quarter_wall(0.0)))
    assert write_photos(tmp_path, [], quarter_wall(0.0)) == []


def test_a_photo_of_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"Cannot write .*a\.xyz\. Name the photo \.jpg or \.png"):
        write_photos(tmp_path, [replace(front_view(), name="a.xyz")], quarter_wall(0.0))
