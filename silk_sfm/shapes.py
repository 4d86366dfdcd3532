"""Shape checks with named dimensions: `check_shapes(points=(array, "N 2"))`."""

from __future__ import annotations

import numpy as np


def check_shapes(**arrays: tuple[np.ndarray, str]) -> dict[str, int]:
    """Check each (array, "dims") and return the size of each named dimension.

    Dimensions are separated by spaces: a number must match exactly, a name must have one size in
    all arrays of the call. Raises ValueError that names the array, its shape and what was expected.
    """
    known = _NamedSizes()
    for name, (array, spec) in arrays.items():
        dims = spec.split()
        if array.ndim != len(dims) or not all(map(known.fits, dims, array.shape)):
            listed = ", ".join(f"{dim} = {size}" for dim, size in known.sizes.items())
            where = f" with {listed}" if listed else ""
            raise ValueError(
                f"{name} has shape {array.shape}, expected ({', '.join(dims)}){where}."
            )
    return known.sizes


def check_dtypes(**arrays: tuple[np.ndarray, type[np.generic]]) -> None:
    """Check the dtype of each (array, dtype); raises TypeError that names the array."""
    for name, (array, dtype) in arrays.items():
        if array.dtype != dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {np.dtype(dtype)}.")


class _NamedSizes:
    """The sizes that dimension names have taken so far; learns new names."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def fits(self, dim: str, size: int) -> bool:
        """Does a dimension of `size` agree with the number or name `dim`?"""
        if dim.isdigit():
            return size == int(dim)
        return self.sizes.setdefault(dim, size) == size
