"""Turning and converting descriptors gives what numpy gives, faster."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from silk_sfm.store.descriptors import to_columns, to_rows

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
SHAPES = st.tuples(st.integers(0, 40), st.integers(0, 40))
PRECISIONS = ["float16", "float32"]
VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda array: array,
    "flipped": lambda array: array[::-1],
    "transposed": lambda array: array.T,
    "every second": lambda array: array[:, ::2],
}


@given(arrays(np.float32, SHAPES, elements=FLOATS), st.sampled_from(PRECISIONS))
def test_columns_are_numpys(descriptors: np.ndarray, precision: str) -> None:
    dtype = np.dtype(precision)
    with np.errstate(over="ignore"):
        expected = descriptors.T.astype(dtype)
    made = to_columns(descriptors, dtype)
    assert made.dtype == dtype and made.flags.c_contiguous
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_columns_of_whatever_a_plugin_returns(precision: str, view: str, writeable: bool) -> None:
    descriptors = VIEWS[view](np.arange(12, dtype=np.float32).reshape(3, 4))
    descriptors.flags.writeable = writeable
    made = to_columns(descriptors, np.dtype(precision))
    np.testing.assert_array_equal(made, descriptors.T.astype(precision))


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", "<i4", "u1"])
def test_rows_are_numpys_for_whatever_is_stored(dtype: str) -> None:
    stored = np.random.default_rng(0).integers(0, 4, (128, 70)).astype(dtype)
    made = to_rows(stored)
    assert made.dtype == np.float32 and made.flags.c_contiguous
    np.testing.assert_array_equal(made, stored.T.astype(np.float32))


def test_all_halves_are_read_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    np.testing.assert_array_equal(to_rows(halves), halves.T.astype(np.float32))
