"""Shape checks with named dimensions: `check_shapes(points=(array, "N 2"))`."""

from __future__ import annotations

import numpy as np


def check_shapes(**arrays: tuple[np.ndarray, str]) -> dict[str, int]:
    """Check each (array, "dims") and return the size of each named dimension.

    Dimensions are separated by spaces: a number must match exactly, a name must have one size in
    all arrays of the call. Raises ValueError that names the array, its shape and what was expected.
    """
    sizes: dict[str, int] = {}
    for name, (array, spec) in arrays.items():
        dims = spec.split()
        if array.ndim != len(dims) or not all(map(_fits(sizes), dims, array.shape)):
            known = ", ".join(f"{dim} = {size}" for dim, size in sizes.items())
            where = f" with {known}" if known else ""
            raise ValueError(
                f"{name} has shape {array.shape}, expected ({', '.join(dims)}){where}."
            )
    return sizes


def check_dtypes(**arrays: tuple[np.ndarray, type[np.generic]]) -> None:
    """Check the dtype of each (array, dtype); raises TypeError that names the array."""
    for name, (array, dtype) in arrays.items():
        if array.dtype != dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {np.dtype(dtype)}.")


class _fits:
    """Does a dimension agree with what is known? Learns the size of new names."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes

    def __call__(self, dim: str, size: int) -> bool:
        if dim.isdigit():
            return size == int(dim)
        return self.sizes.setdefault(dim, size) == size
