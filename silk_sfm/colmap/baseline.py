"""COLMAP's own pipeline on SIFT, as the peer in a comparison: extract, match, verify, map."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from silk_sfm.colmap.cameras import CameraAssignment
from silk_sfm.colmap.database import DatabaseCounts, count, write_images
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.colmap.mapping import MappingOptions, MappingResult, run_mapper
from silk_sfm.errors import ReconstructionError


@dataclass(frozen=True)
class SiftOptions:
    """COLMAP's SIFT on the CPU; all else as COLMAP sets it."""

    max_size: int = 3200
    """Photos are shrunk so that their longer side is at most this, in pixels."""
    max_keypoints: int = 8192
    """Keypoints kept per photo, largest scale first; each may have two orientations."""
    first_octave: int = -1
    """-1 doubles the photo first, 0 does not."""


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """The model of a baseline; seconds of each stage, matching includes verification."""

    mapping: MappingResult
    counts: DatabaseCounts
    extract_seconds: float
    match_seconds: float


def sift_baseline(
    image_dir: Path,
    names: Sequence[str],
    cameras: CameraAssignment,
    work_dir: Path,
    sift: SiftOptions,
    mapping: MappingOptions,
) -> BaselineResult:
    """COLMAP's SIFT, exhaustive matching and verification, then the mapper; all on the CPU.

    Writes work_dir/database.db (anew) and work_dir/sparse. Intrinsics stay as they are when
    `mapping` says so for `cameras`. Raises ReconstructionError when there is no model or COLMAP
    fails.
    """
    database = work_dir / "database.db"
    write_images(database, names, cameras)
    threads = mapping.threads or os.cpu_count() or 1
    with colmap_log():
        extract_seconds = _timed(lambda: _extract(database, image_dir, names, sift, threads))
        match_seconds = _timed(lambda: _match(database, mapping.seed, threads))
    result = run_mapper(database, image_dir, work_dir, mapping, mapping.fixes_intrinsics(cameras))
    return BaselineResult(result, count(database), extract_seconds, match_seconds)


def _extract(
    database: Path, image_dir: Path, names: Sequence[str], sift: SiftOptions, threads: int
) -> None:
    options = pycolmap.FeatureExtractionOptions(
        max_image_size=sift.max_size, num_threads=threads, use_gpu=False
    )
    options.sift.max_num_features = sift.max_keypoints
    options.sift.first_octave = sift.first_octave
    pycolmap.extract_features(
        database,
        image_dir,
        image_names=list(names),
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def _match(database: Path, seed: int, threads: int) -> None:
    matching = pycolmap.FeatureMatchingOptions(num_threads=threads, use_gpu=False)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    pycolmap.match_exhaustive(
        database,
        matching_options=matching,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    try:
        work()
    except (ValueError, RuntimeError) as error:
        raise ReconstructionError(f"COLMAP's SIFT pipeline failed: {error}.") from error
    return time.perf_counter() - start
