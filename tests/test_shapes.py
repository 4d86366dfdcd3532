import numpy as np
import pytest

from silk_sfm.shapes import check_dtypes, check_shapes


def test_named_dimensions_are_returned() -> None:
    sizes = check_shapes(a=(np.zeros((3, 2)), "N 2"), b=(np.zeros((3, 5)), "N D"))
    assert sizes == {"N": 3, "D": 5}


def test_a_name_has_one_size() -> None:
    with pytest.raises(ValueError) as caught:
        check_shapes(points=(np.zeros((3, 2)), "N 2"), scores=(np.zeros(4), "N"))
    assert str(caught.value) == "scores has shape (4,), expected (N) with N = 3."


def test_numbers_match_exactly() -> None:
    with pytest.raises(ValueError, match=r"points has shape \(3, 3\), expected \(N, 2\)"):
        check_shapes(points=(np.zeros((3, 3)), "N 2"))


def test_number_of_dimensions() -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 2\)\."):
        check_shapes(points=(np.zeros(2), "N 2"))


def test_dtype() -> None:
    with pytest.raises(TypeError) as caught:
        check_dtypes(scores=(np.zeros(2), np.float32))
    assert str(caught.value) == "scores has dtype float64, expected float32."
