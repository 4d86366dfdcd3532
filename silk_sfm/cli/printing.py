"""What commands print: bars on stderr, one summary line on stdout, skipped inputs by name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from silk_sfm.cli.arguments import RunOptions
from silk_sfm.cli.main import DONE, SOME_SKIPPED
from silk_sfm.images import ImageFolder
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store import FeatureStore

T = TypeVar("T")


def tracker(run: RunOptions) -> Track:
    """A bar with rate and time left; none when quiet or when stderr is no terminal."""
    return silent if run.quiet or not sys.stderr.isatty() else _bar


def _bar(items: Iterable[T], label: str, total: int) -> Iterable[T]:
    return tqdm(items, unit=f" {label}", total=total, dynamic_ncols=True, leave=False)


def conclude(report: StageReport, run: RunOptions, output: object) -> int:
    """Print the summary of a stage and what it skipped; returns the exit status."""
    if not run.quiet:
        print(f"{report} -> {output}")
    for skipped in report.skipped:
        print(f"skipped {skipped.name}: {skipped.reason}", file=sys.stderr)
    return SOME_SKIPPED if report.skipped else DONE


def image_names(source: Path) -> tuple[str, ...]:
    """Image names of a folder of photos or of a feature store."""
    if source.is_dir():
        return ImageFolder.open(source).names
    with FeatureStore(source) as features:
        return tuple(features.names)
