"""Turning and converting descriptors gives what numpy gives, faster."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from silk_sfm.store.descriptors import columns, rows

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
SHAPES = st.tuples(st.integers(0, 40), st.integers(0, 40))


@given(arrays(np.float32, SHAPES, elements=FLOATS), st.sampled_from(["float16", "float32"]))
def test_columns_are_numpys(descriptors: np.ndarray, precision: str) -> None:
    dtype = np.dtype(precision)
    with np.errstate(over="ignore"):
        expected = descriptors.T.astype(dtype)
    made = columns(descriptors, dtype)
    assert made.dtype == dtype and made.flags.c_contiguous
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", "<i4", "u1"])
def test_rows_are_numpys_for_whatever_is_stored(dtype: str) -> None:
    stored = np.random.default_rng(0).uniform(-3, 3, (128, 70)).astype(np.int8).astype(dtype)
    made = rows(stored)
    assert made.dtype == np.float32 and made.flags.c_contiguous
    np.testing.assert_array_equal(made, stored.T.astype(np.float32))


def test_all_halves_are_read_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    np.testing.assert_array_equal(rows(halves), halves.T.astype(np.float32))


def test_read_only_and_turned_descriptors_can_be_written() -> None:
    descriptors = np.arange(12, dtype=np.float32).reshape(3, 4).T[::-1]
    descriptors.flags.writeable = False
    made = columns(descriptors, np.dtype(np.float16))
    np.testing.assert_array_equal(made, descriptors.T.astype(np.float16))
