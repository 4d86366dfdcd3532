from __future__ import annotations

import numpy as np

from silk_sfm.stages.training_pictures import GAP, HEADER, RIGHT, UNSEEN, WRONG, training_pictures
from silk_sfm.training.sight import Sight, Sighted

SIDE, SCALE = 96, 5
WIDTH = SIDE * SCALE


def sighted(*keypoints: tuple[float, float], shade: float = 0.0) -> Sighted:
    """One that is found again, one that is not, one that cannot be."""
    n = len(keypoints)
    return Sighted(
        np.full((SIDE, SIDE), shade, np.float32),
        np.array(keypoints, np.float64).reshape(n, 2),
        np.array([True, True, False][:n], bool),
        np.array([True, False, False][:n], bool),
        np.full((SIDE - 20, SIDE - 20, 3), (10, 20, 30), np.uint8),
    )


def sight() -> Sight:
    a = sighted((10, 20), (30, 20), (50, 90))
    b = sighted((15, 20), (35, 60), (5, 85), shade=1.0)
    return Sight(a, b, np.array([[0, 0], [1, 1]]), np.array([True, False]))


def at(picture: np.ndarray, x: float, y: float, view: int) -> tuple[int, ...]:
    """The colour at a pixel of a view, which is shown enlarged."""
    column = round((x + 0.5) * SCALE - 0.5) + view * (WIDTH + GAP)
    return tuple(picture[round((y + 0.5) * SCALE - 0.5) + HEADER, column].tolist())


def holds(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((picture == colour).all(axis=2).any())


def reddest(column: np.ndarray) -> int:
    """The row where an (H, 3) column is most red."""
    levels = column.astype(int)
    return int((levels[:, 0] - levels[:, 1]).argmax())


def test_keypoints_say_whether_they_are_found_again() -> None:
    picture = training_pictures(sight())["keypoints"]
    assert picture.shape == (HEADER + WIDTH, 2 * WIDTH + GAP, 3) and picture.dtype == np.uint8
    assert [at(picture, *xy, 0) for xy in ((10, 20), (30, 20), (50, 90))] == [RIGHT, WRONG, UNSEEN]
    assert [at(picture, *xy, 1) for xy in ((15, 20), (35, 60), (5, 85))] == [RIGHT, WRONG, UNSEEN]
    assert at(picture, 80, 80, 0) == (0, 0, 0) and at(picture, 80, 80, 1) == (255, 255, 255)


def test_matches_say_whether_they_are_right() -> None:
    picture = training_pictures(sight())["matches"]
    # The line from (10, 20) to (15, 20) is level; the other one from (30, 20) to (35, 60) steep.
    np.testing.assert_allclose(at(picture, 40, 20, 0), RIGHT, rtol=0.15)
    # Enlarged, that is from (152, 130) to (665, 330).
    assert abs(reddest(picture[:, 479]) - (130 + 200 * (479 - 152) / (665 - 152))) < 1


def test_descriptors_are_shown_as_they_are() -> None:
    picture = training_pictures(sight())["descriptors"]
    assert (picture[HEADER:, : (SIDE - 20) * 6] == (10, 20, 30)).all()


def test_nothing_was_found() -> None:
    empty = sighted()
    nothing = Sight(empty, empty, np.zeros((0, 2), np.int64), np.zeros(0, bool))
    for picture in training_pictures(nothing).values():
        assert not any(holds(picture, colour) for colour in (RIGHT, WRONG, UNSEEN))
