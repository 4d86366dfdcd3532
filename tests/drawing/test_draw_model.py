import numpy as np
import pytest

from silk_sfm.drawing import draw_model
from silk_sfm.drawing.model import CAMERA, PAPER, _presence, _shown_colours

SIZE = (320, 180)
NO_CAMERAS = (np.zeros((0, 3)), np.zeros((0, 3, 3)))


def ring(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Centres and rotations of `n` cameras side by side, 10 in front of the origin; y is down."""
    centres = np.column_stack([np.linspace(-4, 4, n), np.zeros(n), np.full(n, -10.0)])
    return centres, np.stack([np.eye(3)] * n)


def cloud(n: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).uniform(-3, 3, (n, 3))


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) pixels (x, y) of nearly this colour, and (2,) their mean."""
    y, x = np.nonzero(np.abs(picture.astype(int) - colour).max(axis=2) < 40)
    xy = np.column_stack([x, y])
    return xy, xy.mean(axis=0)


def test_points_and_cameras_are_where_one_expects_them() -> None:
    points, (centres, rotations) = cloud(), ring()
    colours = np.where(points[:, :1] < 0, (255, 0, 0), (0, 255, 0)).astype(np.uint8)
    picture = draw_model(points, colours, centres, rotations, SIZE)
    assert picture.shape == (180, 320, 3)
    assert picture.dtype == np.uint8
    red, green, orange = (where(picture, c)[1] for c in ((255, 0, 0), (0, 255, 0), CAMERA))
    assert red[0] < 160 < green[0]  # right stays right
    assert orange[1] > red[1] + 20  # seen from behind and above the cameras
    assert orange[0] == pytest.approx(159.5, abs=12)  # lines over red and green blur


def test_up_is_up() -> None:
    points, (centres, rotations) = cloud(), ring()
    colours = np.where(points[:, 1:2] < 0, (0, 0, 255), (255, 0, 0)).astype(np.uint8)
    picture = draw_model(points, colours, centres, rotations, SIZE)
    assert where(picture, (0, 0, 255))[1][1] < where(picture, (255, 0, 0))[1][1]


def test_the_view_can_be_turned() -> None:
    """By half a turn left is right; by a quarter to the left, what was far is on the right."""
    points, (centres, rotations) = cloud(), ring()
    for axis, turned, red_is_left in (
        (0, 0, True),
        (0, 180, False),
        (2, 90, True),
        (2, -90, False),
    ):
        is_low = points[:, axis : axis + 1] < 0
        colours = np.where(is_low, (255, 0, 0), (0, 255, 0)).astype(np.uint8)
        picture = draw_model(points, colours, centres, rotations, SIZE, turned)
        red, green = (where(picture, c)[1][0] for c in ((255, 0, 0), (0, 255, 0)))
        assert (red < green - 20) if red_is_left else (red > green + 20), turned


def test_the_view_can_be_raised() -> None:
    """From above, what is far is up in the picture, whatever its height."""
    points, (centres, rotations) = cloud(), ring()
    colours = np.where(points[:, 2:] < 0, (255, 0, 0), (0, 255, 0)).astype(np.uint8)
    picture = draw_model(points, colours, centres, rotations, SIZE, raised=85)
    assert where(picture, (0, 255, 0))[1][1] < where(picture, (255, 0, 0))[1][1] - 20


def test_near_points_hide_far_ones() -> None:
    centres, rotations = ring()
    around = cloud(50)
    line = centres.mean(axis=0) + np.array([0.0, 0, 6])
    points = np.concatenate([np.repeat([line], 200, axis=0), around])
    colours = np.concatenate([np.full((200, 3), (255, 0, 0)), np.full((50, 3), (60, 60, 60))])
    shuffled = np.random.default_rng(0).permutation(len(points))
    pictures = [
        draw_model(points[rows], colours[rows].astype(np.uint8), centres, rotations, SIZE)
        for rows in (slice(None), shuffled)
    ]
    assert len(where(pictures[0], (255, 0, 0))[0])
    np.testing.assert_array_equal(*pictures)


def test_outliers_do_not_decide_the_view() -> None:
    points, (centres, rotations) = cloud(), ring()
    red = np.full((len(points), 3), (255, 0, 0), np.uint8)
    far = np.array([[0, -900.0, 500], [700, 0, 900], [-40, 30, 15]])
    blue = np.full((3, 3), (0, 0, 255), np.uint8)
    alone = draw_model(points, red, centres, rotations, SIZE)
    joined = draw_model(
        np.concatenate([points, far]), np.concatenate([red, blue]), centres, rotations, SIZE
    )
    (xy_a, mean_a), (xy_b, mean_b) = (where(p, (255, 0, 0)) for p in (alone, joined))
    np.testing.assert_allclose(mean_a, mean_b, atol=3)
    np.testing.assert_allclose(np.ptp(xy_a, axis=0), np.ptp(xy_b, axis=0), atol=6)


def test_outliers_at_the_end_of_the_world_change_nothing() -> None:
    points, (centres, rotations) = cloud(), ring()
    far = np.random.default_rng(1).choice([-1e6, 1e6], (40, 3))
    pictures = []
    for shown in (points, np.concatenate([points, far])):
        red = np.full((len(shown), 3), (255, 0, 0), np.uint8)
        pictures.append(draw_model(shown, red, centres, rotations, SIZE)[:150])  # above the text
    assert (np.abs(np.subtract(*pictures, dtype=int)).max(axis=2) > 8).mean() < 0.02


def test_dark_colours_are_brighter_in_their_hue() -> None:
    colours = np.array([[40, 20, 0], [255, 128, 0], [0, 0, 0]], np.uint8)
    dark, light, black = _shown_colours(colours, np.ones(3)).tolist()
    assert dark[0] > 90
    assert dark[0] == pytest.approx(2 * dark[1], abs=2)
    assert light == [255, 128, 0]
    assert black == [0, 0, 0]
    assert _shown_colours(np.zeros((0, 3), np.uint8), np.zeros(0)).shape == (0, 3)


def test_far_points_fade_into_the_paper() -> None:
    points = np.concatenate([cloud(), [[1e3, 0, 0]]])
    presence = _presence(points)
    assert presence[-1] == 0
    assert (presence[:-1] == 1).all()
    assert _shown_colours(np.full((1, 3), 255, np.uint8), np.zeros(1)).tolist() == [list(PAPER)]


def test_many_cameras() -> None:
    points, (centres, rotations) = cloud(), ring(1500)
    colours = np.full((len(points), 3), (255, 0, 0), np.uint8)
    picture = draw_model(points, colours, centres, rotations, SIZE)
    assert len(where(picture, CAMERA)[0]) > 50


def test_everything_fits() -> None:
    points, (centres, rotations) = cloud(), ring()
    colours = np.full((len(points), 3), (255, 0, 0), np.uint8)
    picture = draw_model(points, colours, centres * 3, rotations, SIZE)
    for colour in ((255, 0, 0), CAMERA):
        xy, _ = where(picture, colour)
        assert (xy.min(axis=0) >= 4).all()
        assert (xy.max(axis=0) <= [315, 175]).all()


def test_the_scale_of_the_world_does_not_matter() -> None:
    points, (centres, rotations) = cloud(), ring()
    colours = np.random.default_rng(1).integers(0, 255, (len(points), 3)).astype(np.uint8)
    unit, huge = (
        draw_model(points * s, colours, centres * s, rotations, SIZE) for s in (1.0, 1024.0)
    )
    assert (np.abs(unit.astype(int) - huge).max(axis=2) > 8).mean() < 0.01


def test_few_points_or_cameras_or_none() -> None:
    centres, rotations = ring(1)
    for points in (np.zeros((0, 3)), np.zeros((1, 3)), np.eye(3)):
        colours = np.full(points.shape, 200, np.uint8)
        assert draw_model(points, colours, centres, rotations, SIZE).shape == (180, 320, 3)
        empty = draw_model(points, colours, *NO_CAMERAS, SIZE)
        assert (empty[:100] == PAPER).all()


def test_arrays_are_not_changed_and_the_picture_is_the_same_again() -> None:
    points, (centres, rotations) = cloud(300), ring()
    colours = np.full((300, 3), 180, np.uint8)
    before = points.copy(), centres.copy()
    pictures = [draw_model(points, colours, centres, rotations, SIZE) for _ in range(2)]
    np.testing.assert_array_equal(*pictures)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(centres, before[1])


def test_shapes_are_checked() -> None:
    with pytest.raises(
        ValueError, match=r"colours has shape \(2, 3\), expected \(P, 3\) with P = 1"
    ):
        draw_model(np.zeros((1, 3)), np.zeros((2, 3), np.uint8), *NO_CAMERAS)
