"""Verified matches to a COLMAP model: the stage behind `silk-sfm map`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silk_sfm.colmap.assignment import assign_cameras
from silk_sfm.colmap.cameras import CameraAssignment, CameraOptions
from silk_sfm.colmap.database import write_database
from silk_sfm.colmap.mapping import MappingOptions, MappingResult, OnImage, run_mapper
from silk_sfm.colmap.model import (
    Model,
    ModelSummary,
    read_model,
    summarise,
    undistort,
    write_points_ply,
)
from silk_sfm.errors import ReconstructionError
from silk_sfm.files import whole_file
from silk_sfm.images import ImageFolder
from silk_sfm.options import result_options
from silk_sfm.pairs import PairList
from silk_sfm.stages.origin import check_origin
from silk_sfm.stages.report import StageReport
from silk_sfm.stages.starved import starved_stage
from silk_sfm.store import FeatureStore, VerifiedStore

SUMMARY = "summary.json"
MAX_LISTED = 3


@dataclass(frozen=True, eq=False)
class ModelReport:
    """A model and where it came from.

    n_images: photos that were tried; made_from: digest of everything the model depends on
    reused: the model was there already
    others: photos in each of the other models, sparse/1, sparse/2, ...: parts that did not connect
    """

    model: Model
    numbers: ModelSummary
    n_images: int
    made_from: str
    reused: bool
    others: tuple[int, ...] = ()

    @property
    def stage(self) -> StageReport:
        """The stage in numbers."""
        registered, points = self.numbers.n_images, self.numbers.n_points
        done, reused = (0, registered) if self.reused else (registered, 0)
        return StageReport("map", "images", done, reused, points, "points")

    def __str__(self) -> str:
        numbers = self.numbers
        return (
            f"map: {numbers.n_images} of {self.n_images} images registered, {numbers.n_points} "
            f"points, track length {numbers.track_length:.2f}, reprojection error "
            f"{numbers.reprojection_error:.2f} px" + (" (reused)" if self.reused else "")
        ) + self._others_text()

    def _others_text(self) -> str:
        listed = [f"sparse/{i} with {n} images" for i, n in enumerate(self.others, start=1)]
        more = [f"and {len(listed) - MAX_LISTED} more"] if len(listed) > MAX_LISTED else []
        return "; separate: " + ", ".join(listed[:MAX_LISTED] + more) if listed else ""


def build_model(
    images: ImageFolder,
    features: FeatureStore,
    verified: VerifiedStore,
    out: Path,
    cameras: CameraOptions,
    options: MappingOptions,
    overwrite: bool = False,
    on_image: OnImage | None = None,
    chosen: PairList | None = None,
) -> ModelReport:
    """Write OUT/database.db, OUT/sparse/0 (COLMAP, binary) and OUT/points.ply.

    Parts of the scene that do not connect become OUT/sparse/1, 2, ..., the largest is 0.

    chosen: only these pairs; all of the verified store without it

    A model made from the same matches with the same options is kept. Raises ReconstructionError
    that names the stage which starved when no model can be made.
    """
    check_origin(features, verified)
    there = set(images.names)
    names = [name for name in features.names if name in there]
    if not names:
        raise ReconstructionError(
            f"None of the {len(features)} images in {features.path} lies in {images.root}. "
            "Give the folder from which the features were extracted."
        )
    assignment = assign_cameras(images.root, names, cameras)
    wanted = set(names)
    pairs = [pair for pair in verified.pairs(features.names) if wanted.issuperset(pair)]
    pairs = pairs if chosen is None else chosen.among(pairs)
    made_from = _digest(verified, features, assignment, pairs, options)
    model_dir = out / "sparse" / "0"
    if not overwrite and _made_from(out) == made_from and model_dir.is_dir():
        model = read_model(model_dir)
        others = tuple(_summary(out).get("other_models", {}).values())
        return ModelReport(model, summarise(model), len(names), made_from, True, others)
    (out / SUMMARY).unlink(missing_ok=True)  # it tells of another model from here on
    mapped = _map(images, names, features, verified, out, assignment, pairs, options, on_image)
    model, others = mapped.model, mapped.n_images[1:]
    write_points_ply(model.points.xyz, model.points.colours, out / "points.ply")
    return ModelReport(model, summarise(model), len(names), made_from, False, others)


def undistort_model(images: ImageFolder, out: Path, max_size: int | None = None) -> Path:
    """Write OUT/undistorted: photos without distortion and their pinhole model, for splats."""
    target = out / "undistorted"
    undistort(out / "sparse" / "0", images.root, target, max_size)
    return target


def write_summary(out: Path, report: ModelReport, more: Mapping[str, Any]) -> None:
    """Write OUT/summary.json: numbers of the model, and whatever `more` there is to tell."""
    numbers = report.numbers
    summary = {
        "images": report.n_images,
        "registered_images": numbers.n_images,
        "points": numbers.n_points,
        "observations": numbers.n_observations,
        "track_length": round(numbers.track_length, 4),
        "reprojection_error_px": round(numbers.reprojection_error, 4),
        "registered": report.model.names,
        "other_models": {f"sparse/{i}": n for i, n in enumerate(report.others, start=1)},
        "made_from": report.made_from,
        **more,
    }
    with whole_file(out / SUMMARY) as part:
        part.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _map(
    images: ImageFolder,
    names: list[str],
    features: FeatureStore,
    verified: VerifiedStore,
    out: Path,
    cameras: CameraAssignment,
    pairs: list[tuple[str, str]],
    options: MappingOptions,
    on_image: OnImage | None,
) -> MappingResult:
    database = out / "database.db"
    rows = ((a, b, verified[a, b]) for a, b in pairs)
    write_database(database, names, cameras, features.keypoints, rows)
    fixed = options.fixes_intrinsics(cameras)
    try:
        return run_mapper(database, images.root, out, options, fixed, on_image)
    except ReconstructionError as error:
        why = starved_stage(features, verified, names, pairs)
        raise ReconstructionError(f"{error} {why}") from error


def _digest(
    verified: VerifiedStore,
    features: FeatureStore,
    cameras: CameraAssignment,
    pairs: list[tuple[str, str]],
    options: MappingOptions,
) -> str:
    """Of everything that decides the model: settings, cameras and which pairs there are."""
    chosen = {name: str(cameras[name]) for name in sorted(cameras.index_of)}
    parts = [verified.digest, features.digest, chosen, pairs, result_options(options)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _made_from(out: Path) -> str:
    return str(_summary(out).get("made_from"))


def _summary(out: Path) -> dict[str, Any]:
    """What summary.json tells; empty when there is none that can be read."""
    try:
        summary = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}
