from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from silk_sfm.images import turn_upright
from silk_sfm.pixels import (
    ORIENTATIONS,
    PixelGrid,
    from_colmap,
    raw_from_upright,
    size_within,
    to_colmap,
    upright_from_raw,
    upright_size,
)


def test_colmap_origin_is_the_outer_corner() -> None:
    np.testing.assert_array_equal(to_colmap(np.zeros((1, 2), np.float32)), [[0.5, 0.5]])
    np.testing.assert_array_equal(from_colmap(np.array([[0.5, 0.5]])), [[0, 0]])


def test_half_size_grid() -> None:
    grid = PixelGrid(raw_size=(640, 480), input_size=(320, 240))
    np.testing.assert_allclose(grid.to_raw(np.zeros((1, 2))), [[0.5, 0.5]])
    assert grid.mean_scale == 2


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_agrees_with_pillow(orientation: int) -> None:
    raw = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.fromarray(raw).save(file, "PNG", exif=exif)
    with Image.open(file) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    upright = turn_upright(raw, orientation)
    np.testing.assert_array_equal(upright, expected)
    assert upright_size((4, 3), orientation) == upright.shape[::-1]
    rows, columns = np.indices(upright.shape)
    xy = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)
    x, y = raw_from_upright(xy, (4, 3), orientation).astype(int).T
    np.testing.assert_array_equal(raw[y, x], upright.ravel())


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(list(ORIENTATIONS)),
    st.tuples(st.integers(2, 5000), st.integers(2, 5000)),
    st.floats(0.1, 1),
)
def test_grid_round_trip(orientation: int, raw_size: tuple[int, int], scale: float) -> None:
    width, height = upright_size(raw_size, orientation)
    input_size = (max(1, int(width * scale)), max(1, int(height * scale)))
    grid = PixelGrid(raw_size, input_size, orientation)
    corners = np.array([[0.0, 0.0], [input_size[0] - 1, input_size[1] - 1]])
    np.testing.assert_allclose(grid.to_input(grid.to_raw(corners)), corners, atol=1e-8)
    xy = np.array([[0.0, 0.0], [raw_size[0] - 1, raw_size[1] - 1]])
    np.testing.assert_allclose(
        raw_from_upright(upright_from_raw(xy, raw_size, orientation), raw_size, orientation), xy
    )


def test_float32_stays_float32() -> None:
    grid = PixelGrid((640, 480), (320, 240), 6)
    assert grid.to_raw(np.zeros((1, 2), np.float32)).dtype == np.float32
    assert grid.to_raw(np.zeros((0, 2), np.float32)).shape == (0, 2)


def test_size_within() -> None:
    assert size_within((4000, 2250), 1024) == (1024, 576)
    assert size_within((640, 480), 1024) == (640, 480)
    assert size_within((640, 480), None) == (640, 480)
    assert size_within((10000, 1), 100) == (100, 1)
