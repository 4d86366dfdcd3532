"""A figure: what something costs, beside what its baseline costs in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

Number = Callable[[], float]
"""Measures once and returns the number."""


@dataclass(frozen=True)
class Scope:
    """How much is measured, and where.

    folder: for files; it is empty at first and goes afterwards
    quick: smaller inputs and one repeat, to see that everything works
    repeats: of each measurement; figures that take long ask for fewer
    photos, truth: a folder of photos and a COLMAP model with their true poses; None without
    device: where tensors are computed, `cpu` or `cuda`
    """

    folder: Path
    quick: bool = False
    repeats: int = 5
    photos: Path | None = None
    truth: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    ours, baseline: called in turn, once a repeat; each measures and returns a number in `unit`
    against: what the baseline is, in a few words; empty without one
    more_is_better: true for rates, false for seconds, bytes and reads
    max_repeats: for a measurement that takes long
    note: what a reader must know to trust the number
    """

    name: str
    unit: str
    ours: Number
    baseline: Number | None = None
    against: str = ""
    more_is_better: bool = False
    max_repeats: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """A figure with the numbers of every repeat."""

    figure: Figure
    ours: list[float]
    baseline: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """How many times better we are than the baseline, by medians; None without a baseline."""
        if not self.baseline:
            return None
        ours, baseline = median(self.ours), median(self.baseline)
        better, worse = (ours, baseline) if self.figure.more_is_better else (baseline, ours)
        return better / worse if worse else float("inf")


Figures = Callable[[Scope], Iterator[Figure]]
"""A group: yields its figures one after the other, each is measured before the next one is asked
for. What a figure needs is made before its `yield`; what is left over goes after it."""


def measure(figure: Figure, scope: Scope) -> Measured:
    """Measure both sides in turn, so that what slows the machine down meets both."""
    repeats = 1 if scope.quick else min(scope.repeats, figure.max_repeats or scope.repeats)
    measured = Measured(figure, [], [])
    for _ in range(repeats):
        measured.ours.append(figure.ours())
        if figure.baseline is not None:
            measured.baseline.append(figure.baseline())
    return measured


def seconds(work: Callable[[], object]) -> Number:
    """Seconds that `work` takes."""

    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return once


def rate(work: Callable[[], object], amount: float) -> Number:
    """How much of `amount`, which one call of `work` does, is done in a second."""
    once = seconds(work)
    return lambda: amount / once()
