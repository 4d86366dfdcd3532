"""`silk-sfm evaluate sfm`: whole reconstructions against true cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from silk_sfm.colmap.model import read_model
from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.exported import features_shown, verifier_shown
from silk_sfm.evaluation.model_metrics import compare_models
from silk_sfm.evaluation.model_pairs import Scene, find_scenes, read_truth
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList


@dataclass(frozen=True)
class SfmOptions:
    """What is reconstructed, or which model is measured."""

    model: Path | None = None
    """Measure this COLMAP model instead of reconstructing; DATA is one scene then, and --methods
    count for nothing."""
    known_intrinsics: bool = True
    """Reconstruct with the true intrinsics, held fixed; off: from EXIF or a guess."""


class StructureFromMotion:
    """Registered images, pose AUC over all pairs, camera positions, points, tracks, residuals.

    DATA is a scene or a folder of scenes, each with `images` and the truth: a COLMAP model
    (`gt_sparse`, `sparse`, `dslr_calibration_undistorted`) or Strecha's `gt_dense_cameras`.
    """

    Options: ClassVar[type[SfmOptions]] = SfmOptions
    published = ""

    def __init__(self, data: Path, out: Path, options: SfmOptions) -> None:
        """Raises DatasetError when a scene lacks images or truth."""
        self.options = options
        self.scenes = {_label(scene, data): scene for scene in find_scenes(data, out)}
        self.truths = {label: read_truth(scene) for label, scene in self.scenes.items()}
        if options.model is not None and len(self.scenes) != 1:
            raise DatasetError(
                f"A model is compared with one scene, {data} holds {len(self.scenes)}: "
                f"{', '.join(self.scenes)}. Give one of them."
            )
        intrinsics = "known" if options.known_intrinsics else "unknown"
        self.title = f"Structure from motion, {data.resolve().name} ({intrinsics} intrinsics)"

    @property
    def seeded(self) -> bool:
        """Verification and mapping are random; a given model is not."""
        return self.options.model is None

    def jobs(self) -> list[Job]:
        """A reconstruction per scene; none for a given model."""
        if self.options.model is not None:
            return []
        return [
            Job(
                label,
                ImageFolder(scene.images, tuple(self.truths[label].names)),
                PairList.exhaustive(self.truths[label].names),
                goal="model",
                intrinsics=scene.truth if self.options.known_intrinsics else None,
            )
            for label, scene in self.scenes.items()
        ]

    def given(self) -> list[Row]:
        """The row of the model that was given."""
        if self.options.model is None:
            return []
        (label,) = self.scenes
        model, truth = read_model(self.options.model), self.truths[label]
        if not set(model.names) & set(truth.names):
            raise DatasetError(
                f"{self.options.model} and {self.scenes[label].truth} have no image in common: "
                f"`{min(model.names, default='')}`, ... and `{min(truth.names)}`, ... Images are "
                "found by name."
            )
        metrics = compare_models(model, truth).metrics()
        return [Row(str(self.options.model), label, label, "-", "-", "-", np.nan, metrics)]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """The row of one scene; a scene without a model has failed all its pairs."""
        model_dir = predictions.model(seed) / "sparse" / "0"
        model = read_model(model_dir) if model_dir.is_dir() else None
        shown = features_shown(predictions.features, job.images.names)
        estimator, threshold = verifier_shown(predictions.model(seed) / "verified.h5")
        return [
            Row(
                predictions.method,
                job.name,
                job.name,
                estimator,
                threshold,
                shown.image_size,
                shown.keypoints,
                compare_models(model, self.truths[job.name]).metrics(),
            )
        ]


def _label(scene: Scene, data: Path) -> str:
    return data.resolve().name if scene.name == "." else scene.name
