"""The `homography` protocol: pairs with a known homography, and how often it is found.

Two layouts are read. `evd` (Mishkin, Perdoch, Matas: Extreme View Dataset, IVCNZ 2013): images
`1/NAME.*` and `2/NAME.*`, homographies `h/NAME.txt`. `list`: a file `homographies.txt` beside the
images, a line for each pair: subset, image a, image b and the nine numbers of the homography,
separated by tabs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.homography_estimators import (
    EstimatorOptions,
    count_inliers,
    estimate_homography,
)
from silk_sfm.evaluation.homography_files import (
    checked_homography,
    parse_numbers,
    read_homography,
)
from silk_sfm.evaluation.homography_metrics import (
    corner_errors,
    homography_accuracy,
    matching_accuracy,
)
from silk_sfm.evaluation.planar import (
    OVERALL,
    PlanarPair,
    columns,
    planar_job,
    read_matched,
    read_max_side,
    subset_rows,
)
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.evaluation.resized import read_size
from silk_sfm.files import whole_file
from silk_sfm.images import SUFFIXES, ImageFolder

LIST = "homographies.txt"
N_FIELDS = 12
CORNER_THRESHOLDS = (1, 3, 5, 10)
MATCH_THRESHOLDS = (3,)


@dataclass(frozen=True)
class HomographyPairsOptions(EstimatorOptions):
    """How homographies are estimated."""


class HomographyPairs:
    """Success at 1, 3, 5 and 10 px of mean corner error, and inliers."""

    Options: ClassVar[type[HomographyPairsOptions]] = HomographyPairsOptions
    seeded = True
    published = ""

    def __init__(self, data: Path, out: Path, options: HomographyPairsOptions) -> None:
        """Raises DatasetError when an image or a homography is missing or faulty."""
        self._pairs = read_pairs(data)
        self._options = options
        names = {name for pair in self._pairs for name in (pair.a, pair.b)}
        self._images = ImageFolder(data, tuple(sorted(names)))
        self.title = f"{len(self._pairs)} pairs with a known homography in {data.resolve().name}"

    def jobs(self) -> list[Job]:
        """One job on the files themselves."""
        return [planar_job("original", self._images, self._pairs)]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """Success and correct matches (within 3 px of the truth); counts are means over pairs."""
        found = list(read_matched(self._pairs, predictions))
        estimated = [
            estimate_homography(each.matched_a, each.matched_b, self._options, seed)
            for each in found
        ]
        errors = corner_errors(
            estimated,
            [pair.homography for pair in self._pairs],
            [pair.size_a for pair in self._pairs],
        )
        inliers = np.array(
            [
                count_inliers(
                    homography, each.matched_a, each.matched_b, self._options.threshold_px
                )
                for homography, each in zip(estimated, found, strict=True)
            ]
        )
        correct = np.array(
            [
                matching_accuracy(
                    each.matched_a, each.matched_b, each.pair.homography, MATCH_THRESHOLDS
                )
                for each in found
            ]
        )
        matches = np.array([len(each.matched_a) for each in found])
        keypoints = np.array([each.n_keypoints for each in found])

        def measure(rows: np.ndarray) -> tuple[float, dict[str, float]]:
            success = {
                f"Success@{threshold}": homography_accuracy(errors[rows], threshold)
                for threshold in CORNER_THRESHOLDS
            }
            counts = {"matches": matches, "inliers": inliers}
            means = {name: float(values[rows].mean()) for name, values in counts.items()}
            accuracy = columns("MMA", MATCH_THRESHOLDS, correct[rows])
            return float(keypoints[rows].mean()), {**success, **accuracy, **means}

        threshold = f"{self._options.threshold_px:g} px"
        base = Row(predictions.method, job.name, "", self._options.label, threshold, "", 0.0)
        return subset_rows(base, self._pairs, measure, read_max_side(predictions))


def read_pairs(data: Path) -> list[PlanarPair]:
    """All pairs of a data set in one of the two layouts. Raises DatasetError; see the module."""
    if (data / LIST).is_file():
        return _read_list(data)
    if (data / "h").is_dir():
        return _read_evd(data)
    raise DatasetError(
        f"No pairs with homographies in {data}: neither {LIST} nor folders 1, 2 and h."
    )


def write_list(data: Path, pairs: Sequence[PlanarPair]) -> None:
    """Write `homographies.txt`; numbers keep their precision."""
    lines = [
        "\t".join([pair.subset, pair.a, pair.b, *map(repr, pair.homography.ravel().tolist())])
        for pair in pairs
    ]
    with whole_file(data / LIST) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _read_evd(data: Path) -> list[PlanarPair]:
    files = sorted((data / "h").glob("*.txt"))
    if not files:
        raise DatasetError(f"No homography in {data / 'h'}: expected h/NAME.txt for each pair.")
    return [
        _pair(
            data,
            OVERALL,
            _evd_image(data, "1", file.stem),
            _evd_image(data, "2", file.stem),
            read_homography(file),
        )
        for file in files
    ]


def _evd_image(data: Path, side: str, stem: str) -> str:
    for path in sorted((data / side).glob(f"{stem}.*")):
        if path.suffix.lower() in SUFFIXES:
            return f"{side}/{path.name}"
    raise DatasetError(f"No image {side}/{stem}.* in {data}, which h/{stem}.txt belongs to.")


def _read_list(data: Path) -> list[PlanarPair]:
    pairs: list[PlanarPair] = []
    for number, line in enumerate((data / LIST).read_text(encoding="utf-8").splitlines(), 1):
        where = f"{data / LIST}, line {number}"
        fields = line.split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        if len(fields) != N_FIELDS:
            raise DatasetError(
                f"{where}: expected subset, two images and 9 numbers, separated by tabs, got "
                f"{len(fields)} fields."
            )
        subset, a, b = fields[:3]
        for name in (a, b):
            if not (data / name).is_file():
                raise DatasetError(f"{where}: no image `{name}` in {data}.")
        if a == b:
            raise DatasetError(f"{where}: `{a}` is paired with itself.")
        homography = np.array(parse_numbers(fields[3:], where)).reshape(3, 3)
        pairs.append(_pair(data, subset, a, b, checked_homography(homography, where)))
    if not pairs:
        raise DatasetError(f"{data / LIST} lists no pair.")
    return pairs


def _pair(data: Path, subset: str, a: str, b: str, homography: np.ndarray) -> PlanarPair:
    return PlanarPair(a, b, homography, read_size(data / a), read_size(data / b), subset)
