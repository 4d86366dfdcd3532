"""What commands print: bars on stderr, one summary line on stdout, skipped inputs by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tqdm import tqdm

from silk_sfm.cli.arguments import OutputOptions, RunOptions
from silk_sfm.cli.main import DONE, SOME_SKIPPED
from silk_sfm.stages.build import ModelReport
from silk_sfm.stages.reconstruct import Reconstruction
from silk_sfm.stages.report import Skipped, Track, silent

T = TypeVar("T")


def tracker(run: OutputOptions) -> Track:
    """A bar with rate and time left; none when quiet or when stderr is no terminal."""
    return _bar if _shows_bars(run) else silent


@contextmanager
def registered_counter(run: RunOptions, n_images: int) -> Iterator[Callable[[int], None] | None]:
    """A bar that is told how many images are registered so far."""
    if not _shows_bars(run):
        yield None
        return
    bar = tqdm(total=n_images, unit=" registered", dynamic_ncols=True, leave=False, delay=1e-9)

    def show(n_registered: int) -> None:
        bar.update(n_registered - bar.n)

    try:
        yield show
    finally:
        bar.close()


class Summary(Protocol):
    """What a stage tells: one line, and what it skipped."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Inputs that could not be used."""


def conclude(report: Summary, run: OutputOptions, output: object) -> int:
    """Print the summary of a stage and what it skipped; returns the exit status."""
    if not run.quiet:
        print(f"{report} -> {output}")
    return list_skipped(report.skipped)


def conclude_model(report: ModelReport, job: Reconstruction, run: RunOptions) -> int:
    """Print the summaries of all stages and what was skipped; returns the exit status."""
    status = conclude_stages(job, run)
    if not run.quiet:
        seconds = job.costs.stages["map"]["seconds"]
        print(f"{report} [{seconds:.1f} s] -> {job.out / 'sparse' / '0'}")
    return status


def conclude_stages(job: Reconstruction, run: RunOptions) -> int:
    """Print the summary of each stage that ran, and what was skipped; returns the exit status."""
    if not run.quiet:
        for stage in job.reports:
            print(f"{stage} [{job.costs.stages[stage.stage]['seconds']:.1f} s]")
    return list_skipped(job.skipped)


def _bar(items: Iterable[T], label: str, total: int) -> Iterable[T]:
    return tqdm(items, unit=f" {label}", total=total, dynamic_ncols=True, leave=False)


def _shows_bars(run: OutputOptions) -> bool:
    return not run.quiet and sys.stderr.isatty()


def list_skipped(skipped: Sequence[Skipped]) -> int:
    """Name what was skipped, and why; returns the exit status."""
    for item in skipped:
        print(f"skipped {item.name}: {item.reason}", file=sys.stderr)
    return SOME_SKIPPED if skipped else DONE
