"""`silk-sfm evaluate pose`: relative poses of pairs with known intrinsics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.exported import Exported
from silk_sfm.evaluation.imc_metrics import accuracies_2020
from silk_sfm.evaluation.loftr_indices import read_loftr_index
from silk_sfm.evaluation.model_pairs import find_scenes, scene_pairs
from silk_sfm.evaluation.planar import OVERALL
from silk_sfm.evaluation.pose_estimators import (
    CalibratedMatches,
    EstimatorName,
    check_installed,
    estimate_pose,
)
from silk_sfm.evaluation.pose_metrics import (
    PoseError,
    epipolar_distances,
    precision,
    relative_pose_error,
)
from silk_sfm.evaluation.pose_pairs import PosePair, check_images
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.evaluation.superglue_pairs import SCANNET_SCENE, read_superglue_pairs
from silk_sfm.geometry.pose import area_under_curve
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList

AUC_DEGREES = (5, 10, 20)
PRECISIONS = {"prec@1e-4": 1e-4, "prec@5e-4": 5e-4}
"""Squared epipolar distances on the planes z = 1 below which a match counts as right: outdoors and
indoors in SuperGlue and LoFTR."""


@dataclass(frozen=True)
class PoseOptions:
    """Which pairs, and how their poses are estimated."""

    pair_file: Path | None = None
    """Pairs with intrinsics and relative pose: a text file in SuperGlue's format (ScanNet-1500,
    YFCC), an .npz index of LoFTR (MegaDepth-1500, ScanNet-1500) or a folder of them; names in it
    are relative to DATA. Without it DATA holds scenes, each with `images` and a COLMAP model
    `gt_sparse`, and all pairs of a scene are taken."""
    estimators: tuple[EstimatorName, ...] = ("opencv-ransac",)
    """One row each. opencv-ransac: as SuperGlue, LoFTR and SiLK measured; opencv-magsac: OpenCV's
    USAC with MAGSAC++ scores; magsac: the same, refined, as `silk-sfm verify` does; colmap:
    pycolmap's LO-RANSAC; poselib: PoseLib's (extra `poselib`)."""
    thresholds_px: tuple[float, ...] = (0.5,)
    """Largest epipolar error of an inlier in pixels of the files; one row each."""
    per_scene: bool = False
    """Add a row per scene."""

    def __post_init__(self) -> None:
        if not self.estimators or not self.thresholds_px:
            raise ConfigError("Give at least one estimator and one threshold.")
        if not all(0 < threshold < np.inf for threshold in self.thresholds_px):
            raise ConfigError(f"thresholds_px must be above 0, got {self.thresholds_px}.")
        for estimator in self.estimators:
            check_installed(estimator)


class PosePairs:
    """AUC of pose errors and precision of matches; the error of a pair is the larger one of its
    rotation and of the direction of its translation, whose sign stays open.
    """

    Options: ClassVar[type[PoseOptions]] = PoseOptions
    seeded = True

    def __init__(self, data: Path, out: Path, options: PoseOptions) -> None:
        """Raises DatasetError for a pair list that is malformed or does not fit the images."""
        self.options = options
        self.pairs = read_pairs(data, out, options.pair_file)
        check_images(self.pairs, data)
        source = options.pair_file.name if options.pair_file else "all pairs"
        self.title = f"Relative pose, {data.resolve().name} ({source}, {len(self.pairs)} pairs)"
        self.published = published_key(self.pairs[0].a)
        names = sorted({name for pair in self.pairs for name in (pair.a, pair.b)})
        self._images = ImageFolder(data, tuple(names))

    def jobs(self) -> list[Job]:
        """One job: every image that a pair names."""
        pairs = PairList.unique((pair.a, pair.b) for pair in self.pairs)
        return [Job("pairs", self._images, pairs)]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """A row per estimator and threshold; more with `per_scene`."""
        with Exported(predictions) as exported:
            matched = [calibrated(exported, pair) for pair in self.pairs]
            shown = {
                subset: exported.shown({name for row in members for name in self._names(row)})
                for subset, members in self._subsets().items()
            }
        precisions = _precisions(matched, self.pairs)
        counts = np.array([len(matches) for matches in matched], np.float64)
        rows = []
        for estimator in self.options.estimators:
            for threshold in self.options.thresholds_px:
                errors = [
                    relative_pose_error(
                        estimate_pose(matches, estimator, threshold, seed), pair.pose
                    )
                    for matches, pair in zip(matched, self.pairs, strict=True)
                ]
                rows += [
                    Row(
                        predictions.method,
                        job.name,
                        subset,
                        estimator,
                        f"{threshold:g} px",
                        image_size=shown[subset].image_size,
                        keypoints=shown[subset].keypoints,
                        metrics=self._metrics(members, errors, precisions, counts),
                    )
                    for subset, members in self._subsets().items()
                ]
        return rows

    def _metrics(
        self,
        members: Sequence[int],
        errors: Sequence[PoseError],
        precisions: Mapping[str, np.ndarray],
        counts: np.ndarray,
    ) -> dict[str, float]:
        """Of the pairs `members`; AUC, mAA and precision in percent, medians in degrees."""
        rows = list(members)
        largest = np.array([errors[row].largest for row in rows])
        areas = area_under_curve(largest, AUC_DEGREES)
        metrics = {
            f"AUC@{degrees}": 100 * area for degrees, area in zip(AUC_DEGREES, areas, strict=True)
        }
        metrics["IMC mAA@10"] = imc_maa(largest, [self.pairs[row].scene for row in rows])
        metrics |= {name: 100 * float(values[rows].mean()) for name, values in precisions.items()}
        metrics["rotation deg"] = _median([errors[row].rotation for row in rows])
        metrics["translation deg"] = _median([errors[row].translation for row in rows])
        metrics["matches"] = float(counts[rows].mean())
        metrics["pairs"] = float(len(rows))
        return metrics

    def _names(self, row: int) -> tuple[str, str]:
        return self.pairs[row].a, self.pairs[row].b

    def _subsets(self) -> dict[str, list[int]]:
        """Rows of `pairs` behind each row of the table."""
        subsets = {OVERALL: list(range(len(self.pairs)))}
        if self.options.per_scene:
            for row, pair in enumerate(self.pairs):
                subsets.setdefault(pair.scene, []).append(row)
        return subsets


def published_key(name: str) -> str:
    """Which published rows compare with pairs of such image names; empty without any."""
    if SCANNET_SCENE.search(name):
        return "pose-scannet"
    return "pose-megadepth" if name.startswith("Undistorted_SfM/") else ""


def read_pairs(data: Path, out: Path, pair_file: Path | None) -> list[PosePair]:
    """The pairs of a list, or of the scenes in `data`. Raises DatasetError that says what to do."""
    if pair_file is None:
        return [pair for scene in find_scenes(data, out) for pair in scene_pairs(scene)]
    if pair_file.is_dir() or pair_file.suffix == ".npz":
        return read_loftr_index(pair_file)
    if pair_file.suffix != ".txt":
        raise DatasetError(
            f"{pair_file} is no pair list: give a .txt, an .npz or a folder of them."
        )
    return read_superglue_pairs(pair_file)


def calibrated(exported: Exported, pair: PosePair) -> CalibratedMatches:
    """The matches of a pair with its intrinsics, in pixels of the files."""
    found = exported.matched(pair.a, pair.b)
    cameras = pair.cameras(exported.file_size(pair.a), exported.file_size(pair.b))
    return CalibratedMatches(found.pixels_a, found.pixels_b, *cameras, found.scores)


def _precisions(
    matched: Sequence[CalibratedMatches], pairs: Sequence[PosePair]
) -> dict[str, np.ndarray]:
    """By name: (P,) shares of each pair's matches that are right."""
    distances = [
        epipolar_distances(matches.rays_a, matches.rays_b, pair.pose)
        for matches, pair in zip(matched, pairs, strict=True)
    ]
    return {
        name: np.array([precision(each, threshold) for each in distances])
        for name, threshold in PRECISIONS.items()
    }


def imc_maa(largest: np.ndarray, scenes: Sequence[str]) -> float:
    """mAA(10) of the Image Matching Challenge 2020 in percent: the mean over the scenes.

    largest: (P,) degrees; scenes: that of each pair
    """
    of_pair = np.array(scenes)
    accuracies = [
        accuracies_2020(largest[of_pair == scene]).mean() for scene in sorted(set(scenes))
    ]
    return 100 * float(np.mean(accuracies))


def _median(degrees: Sequence[float]) -> float:
    """NaN when half of the pairs or more have no pose."""
    median = float(np.median(degrees))
    return median if np.isfinite(median) else np.nan
