"""A folder of photos to a model, stage by stage, beside COLMAP's SIFT; and the poses' accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from silk_sfm.benchmarking.figures import Figure, Scope
from silk_sfm.colmap.assignment import assign_cameras
from silk_sfm.colmap.baseline import SiftOptions, sift_baseline
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.colmap.mapping import MappingOptions
from silk_sfm.colmap.model import Model, read_model
from silk_sfm.geometry.pose import RotationTranslation, area_under_curve, pair_errors
from silk_sfm.images import ImageFolder
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.reconstruct import Reconstruction

SIFT = "COLMAP's SIFT, CPU"
STAGES = {
    "extract": ("extract",),
    "match and verify": ("match", "verify"),
    "map": ("map",),
}
"""Stages of the table, each with ours that it stands for: COLMAP verifies while it matches."""


def figures(scope: Scope) -> Iterator[Figure]:
    """Seconds of each stage and AUC@1 degree; nothing without photos."""
    if scope.photos is None or scope.truth is None:
        return
    runs = _Runs(scope.photos, scope.truth, scope.folder, scope.device)
    photos = f"{len(runs.images.names)} photos"
    for stage, parts in STAGES.items():
        yield Figure(
            f"{stage}, {photos}",
            "s",
            lambda parts=parts: sum(runs.ours[part] for part in parts),  # type: ignore[misc]
            lambda stage=stage: runs.sift[stage],  # type: ignore[misc]
            SIFT,
            max_repeats=1,
            note="recipe `silk` and COLMAP's defaults, both with the true intrinsics, all pairs",
        )
    yield Figure(
        f"AUC@1 degree, {photos}",
        "%",
        lambda: runs.score("ours"),
        lambda: runs.score("sift"),
        SIFT,
        more_is_better=True,
        max_repeats=1,
        note="error of the relative pose of every pair of photos",
    )


class _Runs:
    """One reconstruction by each method, made when its numbers are first asked for."""

    def __init__(self, photos: Path, truth: Path, folder: Path, device: str) -> None:
        self.images = ImageFolder.open(photos)
        self._truth, self._folder, self._device = truth, folder, device

    @cached_property
    def ours(self) -> dict[str, float]:
        """Seconds of each of our stages."""
        recipe = Recipe.read()
        recipe = replace(recipe, cameras=replace(recipe.cameras, intrinsics=self._truth))
        job = Reconstruction(self.images, self._folder / "ours", recipe, self._device)
        job.run()
        return {stage: costs["seconds"] for stage, costs in job.costs.stages.items()}

    @cached_property
    def sift(self) -> dict[str, float]:
        """Seconds of COLMAP's stages."""
        options = CameraOptions(intrinsics=self._truth)
        names = self.images.names
        result = sift_baseline(
            self.images.root,
            names,
            assign_cameras(self.images.root, names, options),
            self._folder / "sift",
            SiftOptions(),
            MappingOptions(),
        )
        return {
            "extract": result.extract_seconds,
            "match and verify": result.match_seconds,
            "map": result.mapping.seconds,
        }

    def score(self, method: str) -> float:
        """AUC up to 1 degree in percent, of the model that `ours` or `sift` made."""
        made = read_model(self._folder / method / "sparse" / "0")
        errors = pair_errors(_poses(made), _poses(read_model(self._truth))).largest
        return 100 * area_under_curve(errors, [1.0])[0]


def _poses(model: Model) -> dict[str, RotationTranslation]:
    return {name: (pose.rotation, pose.translation) for name, pose in model.poses.items()}
