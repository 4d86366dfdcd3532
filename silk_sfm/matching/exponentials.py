"""Sums of exp(s) along rows and columns of a matrix that is seen in tiles of whole rows."""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn.functional import threshold

LARGEST_PLAIN = 40.0
"""Up to |s| = 40, exp(s) and sums of 10^20 of them are ordinary float32 numbers."""
SMALLEST_EXPONENT = -80.0
"""exp(-80) = 2e-35 beside 1 is nothing in float32, and just above the slow subnormal numbers."""


class Exponentials(Protocol):
    """Learns the column sums of exp(s) tile by tile; gives softmax shares of single entries."""

    sums: torch.Tensor
    """(M,) of what was added so far."""

    def prepare(self, tile: torch.Tensor) -> torch.Tensor:
        """(R, M) similarities s -> the values that the other methods take; changes `tile`."""

    def add_columns(self, values: torch.Tensor) -> None:
        """Add a prepared (R, M) tile to the column sums."""

    def row_terms(self, values: torch.Tensor) -> torch.Tensor:
        """(R, M) prepared tile -> exp(s) up to a factor for each row, largest finite."""

    def column_shares(self, values: torch.Tensor, columns: torch.Tensor | slice) -> torch.Tensor:
        """Softmax over the column of prepared `values` in `columns`; call it when all are added."""


def exponentials(n_columns: int, bound: float, device: torch.device) -> Exponentials:
    """The fastest kind that is safe for similarities of magnitude up to `bound`."""
    kind = PlainExponentials if bound < LARGEST_PLAIN else ShiftedExponentials
    return kind(n_columns, device)


class PlainExponentials:
    """exp(s) itself: one exponential serves the row and the column. For |s| < LARGEST_PLAIN."""

    def __init__(self, n_columns: int, device: torch.device) -> None:
        self.sums = torch.zeros(n_columns, device=device)

    def prepare(self, tile: torch.Tensor) -> torch.Tensor:
        """Takes exp(s), in place."""
        return tile.exp_()

    def add_columns(self, values: torch.Tensor) -> None:
        """Plain sums, as a product with ones, which is the quickest way to sum columns."""
        self.sums += values.new_ones(len(values)) @ values

    def row_terms(self, values: torch.Tensor) -> torch.Tensor:
        """The values themselves."""
        return values

    def column_shares(self, values: torch.Tensor, columns: torch.Tensor | slice) -> torch.Tensor:
        """Takes exp(s) / column sum."""
        return values / self.sums[columns]


class ShiftedExponentials:
    """exp(s - running column maximum): safe for every finite s, at the price of a second exp."""

    def __init__(self, n_columns: int, device: torch.device) -> None:
        self.sums = torch.zeros(n_columns, device=device)
        self.largest = torch.full((n_columns,), -torch.inf, device=device)

    def prepare(self, tile: torch.Tensor) -> torch.Tensor:
        """Nothing to do."""
        return tile

    def add_columns(self, values: torch.Tensor) -> None:
        """Sums relative to the largest s so far; older sums are scaled to it."""
        largest = torch.maximum(self.largest, values.amax(dim=0))
        self.sums *= (self.largest - largest).exp_()
        self.sums += _exp_relative(values - largest).sum(dim=0)
        self.largest = largest

    def row_terms(self, values: torch.Tensor) -> torch.Tensor:
        """Takes exp(s - row maximum)."""
        return _exp_relative(values - values.amax(dim=1, keepdim=True))

    def column_shares(self, values: torch.Tensor, columns: torch.Tensor | slice) -> torch.Tensor:
        """Takes exp(s - column maximum) / column sum."""
        return _exp_relative(values - self.largest[columns]).div_(self.sums[columns])


def _exp_relative(exponents: torch.Tensor) -> torch.Tensor:
    """Exponential of numbers <= 0; 0 where it would be below exp(SMALLEST_EXPONENT)."""
    return threshold(exponents, SMALLEST_EXPONENT, -torch.inf, inplace=True).exp_()
