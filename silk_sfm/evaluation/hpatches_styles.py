"""HPatches as SiLK and as R2D2 measure on it: keypoints and matches of a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from silk_sfm.evaluation.homography_estimators import EstimatorOptions, estimate_homography
from silk_sfm.evaluation.homography_metrics import (
    corner_errors,
    homography_accuracy,
    matching_accuracy,
    repeatability,
)
from silk_sfm.evaluation.hpatches_files import D2NET_LEFT_OUT, HPatchesFiles
from silk_sfm.evaluation.planar import (
    MatchedPair,
    Size,
    columns,
    planar_job,
    read_matched,
    read_max_side,
    subset_rows,
)
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.geometry.pose import area_under_curve

MMA_THRESHOLDS = tuple(range(1, 11))
HOMOGRAPHY_THRESHOLDS = (1, 3, 5)
REPEATABILITY_THRESHOLDS = (1, 3)
BORDER = -0.5
"""Left and upper border of an image in our pixels, whose first centre is 0."""
MULTIPLE = 8


class Style(Protocol):
    """One paper's way; `seeded` says whether random samples are drawn when scoring."""

    title: str
    seeded: bool

    def jobs(self) -> list[Job]:
        """What each method exports."""

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """The rows of one method."""


def size_with_short_side(size: Size, short_side: int) -> Size:
    """The size with the shorter side scaled to `short_side`, as SiLK's evaluation makes it.

    The longer side is rounded down, then both up to multiples of 8.
    """
    width, height = (side * short_side // min(size) for side in size)
    return _up(width), _up(height)


def _up(side: int) -> int:
    return -(-side // MULTIPLE) * MULTIPLE


class SilkStyle:
    """SiLK, Tab. 2 and 3: SuperPoint's and D2-Net's metrics, one size per sequence.

    Differences from the released code: keypoints and homographies count pixels from one origin
    (there they differ by half a pixel), and resizing moves homographies at pixel centres.
    """

    seeded = True

    def __init__(
        self, files: HPatchesFiles, out: Path, estimator: EstimatorOptions, short_side: int
    ) -> None:
        self.title = f"SiLK's metrics, shorter side {short_side} px"
        self._estimator = estimator
        self._name = str(short_side)
        self._images, self._pairs = files.resized(
            out / f"images_{short_side}",
            lambda _, first: size_with_short_side(first, short_side),
            "area",
        )

    def jobs(self) -> list[Job]:
        """One job."""
        return [planar_job(self._name, self._images, self._pairs)]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """Repeatability skips pairs without shared points; without matches, MMA is 0."""
        found = list(read_matched(self._pairs, predictions))
        repeated = np.array([_repeatabilities(each) for each in found])
        counted = _Counted(found)
        errors = corner_errors(
            [
                estimate_homography(each.matched_a, each.matched_b, self._estimator, seed)
                for each in found
            ],
            [pair.homography for pair in self._pairs],
            [pair.size_a for pair in self._pairs],
        )

        def measure(pairs: np.ndarray) -> tuple[float, dict[str, float]]:
            keypoints, matching = counted.measure(pairs)
            shared = columns("Rep", REPEATABILITY_THRESHOLDS, repeated[pairs])
            return keypoints, {**shared, **homography_columns(errors[pairs]), **matching}

        estimator, threshold = self._estimator.label, f"{self._estimator.threshold_px:g} px"
        size = f"short side {self._name}"
        base = Row(predictions.method, job.name, "", estimator, threshold, size, 0.0)
        return subset_rows(base, self._pairs, measure)


class R2d2Style:
    """R2D2, Fig. 4, after D2-Net: mean matching accuracy over the threshold, published sizes."""

    title = "R2D2's and D2-Net's MMA, published sizes, without the eight largest sequences"
    seeded = False

    def __init__(self, files: HPatchesFiles, out: Path) -> None:
        files = files.without(D2NET_LEFT_OUT)
        self._images, self._pairs = files.images, files.original()

    def jobs(self) -> list[Job]:
        """One job on the files themselves."""
        return [planar_job("original", self._images, self._pairs)]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """Pairs without matches count as 0."""
        counted = _Counted(list(read_matched(self._pairs, predictions)))
        base = Row(predictions.method, job.name, "", "-", "-", "", 0.0)
        return subset_rows(base, self._pairs, counted.measure, read_max_side(predictions))


class _Counted:
    """Keypoints, matches and matching accuracy of every pair."""

    def __init__(self, found: Sequence[MatchedPair]) -> None:
        self._accuracies = np.array(
            [
                matching_accuracy(
                    each.matched_a, each.matched_b, each.pair.homography, MMA_THRESHOLDS
                )
                for each in found
            ]
        )
        self._keypoints = np.array([each.n_keypoints for each in found])
        self._matches = np.array([len(each.matched_a) for each in found])

    def measure(self, pairs: np.ndarray) -> tuple[float, dict[str, float]]:
        """Mean number of keypoints; MMA and mean number of matches."""
        metrics = columns("MMA", MMA_THRESHOLDS, self._accuracies[pairs])
        metrics["matches"] = float(self._matches[pairs].mean())
        return float(self._keypoints[pairs].mean()), metrics


def homography_columns(errors: np.ndarray) -> dict[str, float]:
    """Accuracy and AUC of (P,) corner errors, in the order of SiLK's tables."""
    accuracy = {f"HomAcc@{t}": homography_accuracy(errors, t) for t in HOMOGRAPHY_THRESHOLDS}
    areas = area_under_curve(errors, HOMOGRAPHY_THRESHOLDS)
    auc = {f"HomAUC@{t}": area for t, area in zip(HOMOGRAPHY_THRESHOLDS, areas, strict=True)}
    return {**accuracy, **auc}


def _repeatabilities(found: MatchedPair) -> list[float]:
    """Repeatability at each threshold; NaN when neither image has a shared point."""
    pair = found.pair
    values = repeatability(
        found.keypoints_a,
        found.keypoints_b,
        pair.homography,
        pair.size_a,  # image b has the same size
        REPEATABILITY_THRESHOLDS,
        origin=BORDER,
    )
    return [float("nan")] * len(REPEATABILITY_THRESHOLDS) if values is None else values
