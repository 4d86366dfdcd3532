"""`silk-sfm evaluate imc2022`: fundamental matrices, scored or submitted as on Kaggle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np

from silk_sfm.colmap.database import fundamental_to_colmap
from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.exported import Exported, MatchedPixels
from silk_sfm.evaluation.imc2022_files import (
    Calibration,
    Sample,
    read_calibration,
    read_scales,
    read_test_pairs,
    read_training_pairs,
    write_submission,
)
from silk_sfm.evaluation.imc_metrics import accuracies_2022, fundamental_errors
from silk_sfm.evaluation.planar import OVERALL
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.features import Matches
from silk_sfm.geometry.epipolar import skew
from silk_sfm.geometry.pose import relative_pose
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.plugins import Correspondences
from silk_sfm.verifiers.magsac import Magsac, MagsacOptions

FundamentalEstimator = Literal["opencv-magsac", "magsac"]
SIDEWAYS = skew(np.array([1.0, 0.0, 0.0]))
"""The matrix of a pair that nothing is known of: the camera moved to the side."""
FEWEST_MATCHES = 8
CONFIDENCE = 0.99999
MAX_ITERATIONS = 10_000


@dataclass(frozen=True)
class Imc2022Options:
    """Which pairs, and how their matrices are estimated."""

    estimator: FundamentalEstimator = "opencv-magsac"
    """opencv-magsac: cv2.USAC_MAGSAC, as in the organisers' notebook; magsac: the verifier of
    silk-sfm, which refines OpenCV's result."""
    threshold_px: float = 0.25
    """Largest error of an inlier in pixels of the files."""
    min_covisibility: float = 0.1
    """Training pairs with less in common are left out, as the organisers advise."""
    max_pairs: int | None = None
    """Training pairs of a scene, drawn with the seed 0; all without it."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold_px < np.inf:
            raise ConfigError(f"threshold_px must be above 0, got {self.threshold_px}.")
        if self.max_pairs is not None and self.max_pairs < 1:
            raise ConfigError(f"max_pairs must be 1 or more, got {self.max_pairs}.")


@dataclass(frozen=True, eq=False)
class _Truth:
    """calibrations: by scene and image id; scales: metres per unit by scene."""

    calibrations: Mapping[str, Mapping[str, Calibration]]
    scales: Mapping[str, float]

    def errors(self, sample: Sample, fundamental: np.ndarray) -> tuple[float, float]:
        """Degrees and metres; `fundamental` counts COLMAP pixels, as K does."""
        a, b = (
            self.calibrations[sample.scene][image] for image in (sample.image_a, sample.image_b)
        )
        true = relative_pose(a.pose, b.pose)
        return fundamental_errors(fundamental, a.camera, b.camera, true, self.scales[sample.scene])


class Imc2022:
    """mAA over the scenes of a train folder; for a test folder a submission.csv alone.

    DATA is `train` (scaling_factors.csv and scene folders) or holds test.csv and test_images. The
    matrices count pixels from the corner of the first one, as COLMAP does, which the organisers
    made the truth with.
    """

    Options: ClassVar[type[Imc2022Options]] = Imc2022Options
    seeded = True
    published = "imc2022"

    def __init__(self, data: Path, out: Path, options: Imc2022Options) -> None:
        """Raises DatasetError for files that are missing or malformed."""
        self.options = options
        self._truth: _Truth | None = None
        if (data / "scaling_factors.csv").is_file():
            self._truth, self.samples = _read_train(data, options)
        elif (data / "test.csv").is_file():
            self.samples = read_test_pairs(data)
        else:
            raise DatasetError(f"Neither scaling_factors.csv (train) nor test.csv in {data}.")
        if not self.samples:
            raise DatasetError(
                f"No pair in {data} has a covisibility of {options.min_covisibility}."
            )
        what = "mAA" if self._truth else "submission"
        self.title = f"Image Matching Challenge 2022, {what}, {len(self.samples)} pairs"
        names = sorted({name for sample in self.samples for name in (sample.a, sample.b)})
        self._images = ImageFolder(data, tuple(names))

    def jobs(self) -> list[Job]:
        """One job on all images of all pairs."""
        pairs = PairList.unique((each.a, each.b) for each in self.samples)
        return [Job("pairs", self._images, pairs)]

    def export(self, job: Job, predictions: Predictions, out: Path) -> list[Path]:
        """Write OUT/METHOD/submission.csv, with the matrices of the seed 0."""
        with Exported(predictions) as exported:
            found = self._fundamentals(exported, seed=0)
        path = out / predictions.method / "submission.csv"
        write_submission(
            path,
            {
                sample.sample_id: SIDEWAYS if matrix is None else matrix
                for sample, matrix in zip(self.samples, found, strict=True)
            },
        )
        return [path]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """The row of all scenes, then one per scene; of a test folder only what was found."""
        with Exported(predictions) as exported:
            found = self._fundamentals(exported, seed)
            counts = [len(exported.matched(sample.a, sample.b)) for sample in self.samples]
            shown = exported.shown(self._images.names)
        metrics = self._metrics(found, np.array(counts, np.float64))
        return [
            Row(
                predictions.method,
                job.name,
                subset,
                self.options.estimator,
                f"{self.options.threshold_px:g} px",
                shown.image_size,
                shown.keypoints,
                values,
            )
            for subset, values in metrics.items()
        ]

    def _fundamentals(self, exported: Exported, seed: int) -> list[np.ndarray | None]:
        """(3, 3) float64 in COLMAP pixels for each sample; None where there is none."""
        matrices = [
            estimate_fundamental(exported.matched(sample.a, sample.b), self.options, seed)
            for sample in self.samples
        ]
        return [None if each is None else fundamental_to_colmap(each) for each in matrices]

    def _metrics(
        self, found: Sequence[np.ndarray | None], counts: np.ndarray
    ) -> dict[str, dict[str, float]]:
        failed = np.array([matrix is None for matrix in found])
        rows = {OVERALL: np.arange(len(found))}
        scenes = np.array([sample.scene for sample in self.samples])
        if self._truth is not None:
            rows |= {
                name: np.flatnonzero(scenes == name) for name in dict.fromkeys(scenes.tolist())
            }
        metrics = {
            name: {
                "matches": float(counts[members].mean()),
                "failed": float(failed[members].sum()),
                "pairs": float(len(members)),
            }
            for name, members in rows.items()
        }
        if self._truth is None:
            return metrics
        maa = self._maa(found, rows, self._truth)
        return {name: {"mAA": maa[name], **values} for name, values in metrics.items()}

    def _maa(
        self,
        found: Sequence[np.ndarray | None],
        rows: Mapping[str, np.ndarray],
        truth: _Truth,
    ) -> dict[str, float]:
        """By scene, and their mean as `overall`; failed pairs have the matrix of the submission."""
        errors = np.array(
            [
                truth.errors(sample, SIDEWAYS if matrix is None else matrix)
                for sample, matrix in zip(self.samples, found, strict=True)
            ]
        )
        scenes = {
            name: float(accuracies_2022(*errors[members].T).mean())
            for name, members in rows.items()
            if name != OVERALL
        }
        return {OVERALL: float(np.mean(list(scenes.values()))), **scenes}


def estimate_fundamental(
    matched: MatchedPixels, options: Imc2022Options, seed: int
) -> np.ndarray | None:
    """(3, 3) float64 fundamental matrix of pixels; None when there is none."""
    if len(matched) < FEWEST_MATCHES:
        return None
    if options.estimator == "magsac":
        return _verified(matched, options.threshold_px, seed)
    order = np.random.default_rng(seed).permutation(len(matched)) if seed else slice(None)
    found, _ = cv2.findFundamentalMat(
        matched.pixels_a[order],
        matched.pixels_b[order],
        cv2.USAC_MAGSAC,
        options.threshold_px,
        CONFIDENCE,
        MAX_ITERATIONS,
    )
    usable = found is not None and found.shape == (3, 3) and np.isfinite(found).all()
    return np.asarray(found, np.float64) if usable else None


def _verified(matched: MatchedPixels, threshold_px: float, seed: int) -> np.ndarray | None:
    options = MagsacOptions(
        threshold_px=threshold_px, min_inliers=FEWEST_MATCHES, model="fundamental"
    )
    indices = np.repeat(np.arange(len(matched), dtype=np.int32)[:, None], 2, axis=1)
    points = Correspondences(matched.pixels_a, matched.pixels_b)
    found = Magsac(options)(points, Matches(indices, matched.scores), seed)
    return found.matrix if found.matrix.any() else None


def _read_train(data: Path, options: Imc2022Options) -> tuple[_Truth, list[Sample]]:
    scales = read_scales(data / "scaling_factors.csv")
    scenes = [name for name in scales if (data / name).is_dir()]
    if not scenes:
        raise DatasetError(f"None of the scenes in scaling_factors.csv is a folder in {data}.")
    for path in sorted(data.glob("*/calibration.csv")):
        if path.parent.name not in scales:
            raise DatasetError(
                f"{data / 'scaling_factors.csv'} has no scene `{path.parent.name}`, which is a "
                "folder beside it. Add its factor or move the folder away."
            )
    calibrations = {name: read_calibration(data / name / "calibration.csv") for name in scenes}
    samples: list[Sample] = []
    for name in scenes:
        found = read_training_pairs(data / name, options.min_covisibility)
        _check_calibrated(found, calibrations[name], data / name)
        samples += _drawn(found, options.max_pairs)
    return _Truth(calibrations, scales), samples


def _check_calibrated(
    samples: Sequence[Sample], known: Mapping[str, Calibration], folder: Path
) -> None:
    for sample in samples:
        for image in (sample.image_a, sample.image_b):
            if image not in known:
                raise DatasetError(
                    f"{folder / 'calibration.csv'} has no image `{image}`, which "
                    f"pair_covisibility.csv pairs."
                )


def _drawn(samples: list[Sample], max_pairs: int | None) -> list[Sample]:
    """At most `max_pairs`, in their order: the files are sorted by difficulty."""
    if max_pairs is None or len(samples) <= max_pairs:
        return samples
    rows = np.random.default_rng(0).choice(len(samples), max_pairs, replace=False)
    return [samples[row] for row in sorted(rows)]
