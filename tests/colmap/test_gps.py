import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silk_sfm.colmap.gps import ecef


def one(latitude: float, longitude: float, height: float) -> np.ndarray:
    return ecef(np.array([[latitude, longitude, height]]))[0]


@pytest.mark.parametrize(
    ("place", "metres"),
    [
        ((0, 0, 0), (6378137.0, 0, 0)),
        ((0, 90, 0), (0, 6378137.0, 0)),
        ((90, 0, 0), (0, 0, 6356752.314245)),  # the semi-minor axis of WGS 84
        ((-90, 77, 100), (0, 0, -6356852.314245)),
        ((0, 180, 10), (-6378147.0, 0, 0)),
        # the normal of 45 degrees: N = a / sqrt(1 - e^2 / 2)
        ((45, 0, 0), (4517590.878849, 0, 4487348.408866)),
    ],
)
def test_known_places(place: tuple[float, float, float], metres: tuple[float, ...]) -> None:
    np.testing.assert_allclose(one(*place), metres, atol=2e-3)


def test_a_minute_of_latitude_is_a_nautical_mile() -> None:
    a, b = one(45, 7, 0), one(45 + 1 / 60, 7, 0)
    assert np.linalg.norm(a - b) == pytest.approx(1852, abs=1)


@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(-100, 3000))
def test_height_is_straight_up(latitude: float, longitude: float, height: float) -> None:
    low, high = one(latitude, longitude, height), one(latitude, longitude, height + 50)
    assert np.linalg.norm(high - low) == pytest.approx(50, abs=1e-6)


def test_none() -> None:
    assert ecef(np.zeros((0, 3))).shape == (0, 3)
