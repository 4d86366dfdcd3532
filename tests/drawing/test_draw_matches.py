import numpy as np
import pytest

from silk_sfm.drawing import draw_keypoints, draw_matches
from silk_sfm.drawing.canvas import draw_dot, draw_line, draw_text, quality_colours
from silk_sfm.drawing.matches import GAP, HEADER, PAPER

GREY = np.full((40, 60, 3), 128, np.uint8)
YELLOW, VIOLET = (253, 231, 37), (68, 1, 84)


def centroid(image: np.ndarray) -> np.ndarray:
    """(2,) mean pixel of what was drawn on black, weighted by brightness."""
    weight = image.sum(axis=2).astype(float)
    y, x = np.indices(weight.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("centre", [(10.0, 12.0), (10.5, 12.25), (7.1, 3.9)])
def test_a_dot_lies_at_its_subpixel_position(centre: tuple[float, float]) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    draw_dot(image, np.array(centre), 2.0, (255, 255, 255))
    np.testing.assert_allclose(centroid(image), centre, atol=0.02)
    assert image.sum() / (3 * 255) == pytest.approx(np.pi * 4, rel=0.05)


def test_dots_at_and_beyond_the_border() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    for centre in ((-30.0, 5.0), (5.0, 90.0), (400.0, -2.0)):
        draw_dot(image, np.array(centre), 2.0, (255, 255, 255))
    assert not image.any()
    draw_dot(image, np.array([0.0, 19.0]), 2.0, (255, 255, 255))
    assert image[19, 0].tolist() == [255, 255, 255]


def test_a_line_lies_between_its_ends() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    draw_line(image, np.array([4.0, 5.0]), np.array([30.0, 5.0]), (255, 0, 0))
    assert image[5, 6:29, 0].min() > 200
    assert not image[:3].any()
    assert not image[:, :, 1:].any()


def test_text_takes_any_letter() -> None:
    image = np.zeros((30, 200, 3), np.uint8)
    draw_text(image, "Zürich 東京", (4, 20), (255, 255, 255))
    assert image.any()


def test_colours_of_quality() -> None:
    assert quality_colours(np.array([0.2, 0.9])).tolist() == [list(VIOLET), list(YELLOW)]
    assert quality_colours(np.array([0.5, 0.5])).tolist() == [list(YELLOW)] * 2
    assert quality_colours(np.zeros(0)).shape == (0, 3)


def test_keypoints_are_drawn_on_a_copy() -> None:
    before = GREY.copy()
    drawn = draw_keypoints(GREY, np.array([[20.0, 10.0], [50.0, 30.0]]), np.array([0.1, 0.7]))
    np.testing.assert_array_equal(GREY, before)
    assert drawn[10, 20].tolist() == list(VIOLET)
    assert drawn[30, 50].tolist() == list(YELLOW)
    assert drawn[20, 35].tolist() == [128] * 3


def test_the_better_keypoint_is_on_top() -> None:
    same = np.array([[20.0, 10.0], [20.0, 10.0]])
    drawn = draw_keypoints(GREY, same, np.array([0.9, 0.1]))
    assert drawn[10, 20].tolist() == list(YELLOW)


def test_no_keypoints() -> None:
    drawn = draw_keypoints(GREY, np.zeros((0, 2)), np.zeros(0))
    np.testing.assert_array_equal(drawn, GREY)


def test_matches_end_at_their_pixels() -> None:
    small = np.full((30, 50, 3), 200, np.uint8)
    one = np.ones(1)
    picture = draw_matches(GREY, small, np.array([[10.0, 20]]), np.array([[40.0, 5]]), one)
    assert picture.shape == (40 + HEADER, 60 + GAP + 50, 3)
    assert picture[20 + HEADER, 10].tolist() == list(YELLOW)
    assert picture[5 + HEADER, 60 + GAP + 40].tolist() == list(YELLOW)
    assert picture[-1, -1].tolist() == list(PAPER)  # below the smaller image
    assert picture[HEADER + 1, 1].tolist() == [128] * 3


def test_no_matches_show_both_images_and_the_title() -> None:
    none = np.zeros((0, 2))
    picture = draw_matches(GREY, GREY, none, none, np.zeros(0), "a.jpg - b.jpg: 0 matches")
    np.testing.assert_array_equal(picture[HEADER:, :60], GREY)
    np.testing.assert_array_equal(picture[HEADER:, 60 + GAP :], GREY)
    assert (picture[:HEADER] != PAPER).any()


def test_lines_are_chosen_evenly_by_quality() -> None:
    points = np.column_stack([np.arange(0, 60, 3.0), np.full(20, 20.0)])
    everything = (points, points, np.linspace(0, 1, 20))
    few, many = (draw_matches(GREY, GREY, *everything, max_lines=n) for n in (2, 20))
    for picture in (few, many):
        assert picture[20 + HEADER, 0].tolist() == list(VIOLET)
        assert picture[20 + HEADER, 60 + GAP + 57].tolist() == list(YELLOW)
    assert (few != many).any()
    np.testing.assert_array_equal(many, draw_matches(GREY, GREY, *everything, max_lines=20))


@pytest.mark.parametrize(("max_lines", "n_drawn"), [(0, 0), (1, 1), (7, 7), (20, 20), (50, 20)])
def test_no_more_lines_than_asked_for(max_lines: int, n_drawn: int) -> None:
    black = np.zeros((200, 60, 3), np.uint8)
    points = np.column_stack([np.full(20, 30.0), np.arange(5, 200, 10.0)])
    quality = np.random.default_rng(0).random(20)
    picture = draw_matches(black, black, points, points, quality, max_lines=max_lines)
    between = picture[HEADER:, 60 + GAP // 2].astype(int)  # all lines cross the gap
    crossed = np.abs(between - PAPER).max(axis=1) > 20
    assert np.count_nonzero(np.diff(crossed.astype(int), prepend=0) == 1) == n_drawn
    assert not black.any()


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"b has shape \(3, 2\), expected \(M, 2\) with M = 2"):
        draw_matches(GREY, GREY, np.zeros((2, 2)), np.zeros((3, 2)), np.zeros(2))
