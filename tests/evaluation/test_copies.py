"""Turned and shrunk copies: their homographies are exact."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from homography_sets import texture

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.copies import shrunk_copy, turned_copy, write_copies
from silk_sfm.evaluation.homography_pairs import read_pairs
from silk_sfm.images import ImageFolder, decode

PHOTO = 0.3 + 0.6 * cv2.GaussianBlur(texture((240, 180)), (0, 0), 2).astype(np.float32) / 255


def test_turned_by_0_is_the_middle() -> None:
    copy, homography = turned_copy(PHOTO, 0)
    side = len(copy)
    assert copy.shape == (side, side)
    assert side == int(179 / np.sqrt(2))
    top, left = (180 - side) / 2, (240 - side) / 2
    assert (top, left) == (27.0, 57.0)
    np.testing.assert_allclose(copy, PHOTO[27 : 27 + side, 57 : 57 + side], atol=1e-6)
    np.testing.assert_array_equal(homography, np.eye(3))


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_are_exact(quarter: int) -> None:
    start, _ = turned_copy(PHOTO, 0)
    copy, homography = turned_copy(PHOTO, 90 * quarter)
    np.testing.assert_allclose(copy, np.rot90(start, -quarter), atol=1e-5)  # clockwise
    corner = homography @ (0, 0, 1)
    side = len(copy) - 1
    expected = {1: (side, 0), 2: (side, side), 3: (0, side)}[quarter]
    np.testing.assert_allclose(corner[:2], expected, atol=1e-9)


@pytest.mark.parametrize("degrees", [10, 45, 137])
def test_turned_copies_lie_where_the_homography_says(degrees: int) -> None:
    start, _ = turned_copy(PHOTO, 0)
    copy, homography = turned_copy(PHOTO, degrees)
    size = copy.shape[::-1]
    seen = cv2.warpPerspective(np.ones_like(start), homography, size) > 0.999
    seen = cv2.erode(np.uint8(seen), np.ones((7, 7))) > 0
    quarter_of_a_pixel = np.array([[1, 0, 0.25], [0, 1, 0.25], [0, 0, 1]])
    error, error_shifted = (
        np.abs(cv2.warpPerspective(start, each, size, flags=cv2.INTER_CUBIC) - copy)[seen].mean()
        for each in (homography, quarter_of_a_pixel @ homography)
    )
    assert error < 0.2 * error_shifted
    assert copy.min() > 0.25  # no border, no invented black


def test_shrunk_copies_move_pixel_centres() -> None:
    copy, homography = shrunk_copy(PHOTO, 2)
    assert copy.shape == (90, 120)
    np.testing.assert_allclose(homography @ (0.5, 0.5, 1), (0, 0, 1))
    np.testing.assert_allclose(copy[0, 0], PHOTO[:2, :2].mean(), atol=1e-6)
    same, identity = shrunk_copy(PHOTO, 1)
    np.testing.assert_array_equal(same, PHOTO)
    np.testing.assert_array_equal(identity, np.eye(3))
    with pytest.raises(ConfigError, match="by a factor of at least 1, got 0.5"):
        shrunk_copy(PHOTO, 0.5)


def test_write_copies(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / name), np.uint8(PHOTO * 255))
    photos = ImageFolder.open(tmp_path / "photos")
    write_copies(photos, tmp_path / "copies", [0, 90], [1.5], longer_side=120)
    pairs = read_pairs(tmp_path / "copies")
    assert [pair.subset for pair in pairs] == ["turn 000", "turn 090", "scale 1.50"] * 2
    assert pairs[0].a == pairs[1].a == "turned/a_x/start.png"
    assert pairs[5].b == "shrunk/b_x/scale_1.50.png"
    assert pairs[2].size_a == (120, 90)
    assert pairs[2].size_b == (80, 60)
    assert decode(tmp_path / "copies" / pairs[2].b)[0].shape == (60, 80, 3)
