"""`silk-sfm evaluate phototourism`: files that the Image Matching Benchmark imports and scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.exported import features_shown
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.images import SUFFIXES, ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.store import FeatureStore, MatchStore, benchmark_pairs, export_benchmark

IMAGE_FOLDERS = ("set_100/images", "images", ".")
"""Where the images of a sequence may lie; the first is the benchmark's own layout."""


@dataclass(frozen=True)
class PhototourismOptions:
    """What is exported."""

    max_keypoints: int = 8000
    """Keypoints of an image, the best ones: 2048 (restricted) or 8000 (unlimited category)."""
    dataset: str = "phototourism"
    """Folder of the data set inside the export: phototourism, pragueparks or googleurban."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_keypoints <= 8000:
            raise ConfigError(f"max_keypoints must lie in 1..8000, got {self.max_keypoints}.")


class Phototourism:
    """Exports keypoints.h5, descriptors.h5 and matches.h5 per sequence; the benchmark scores them.

    DATA is a sequence or holds sequences, each with its images in `set_100/images`, in `images` or
    in itself.
    """

    Options: ClassVar[type[PhototourismOptions]] = PhototourismOptions
    seeded = False
    published = ""

    def __init__(self, data: Path, out: Path, options: PhototourismOptions) -> None:
        """Raises DatasetError without images, StoreError for names that the benchmark refuses."""
        self.options = options
        self.sequences = find_sequences(data)
        self._pairs = {
            name: PairList(tuple(benchmark_pairs(images.names)))
            for name, images in self.sequences.items()
        }
        self.title = f"Export for the Image Matching Benchmark, {data.resolve().name}"

    def jobs(self) -> list[Job]:
        """One per sequence, on all its pairs."""
        return [
            Job(name, images, self._pairs[name], n_keypoints=self.options.max_keypoints)
            for name, images in self.sequences.items()
        ]

    def export(self, job: Job, predictions: Predictions, out: Path) -> list[Path]:
        """Write the files below OUT/METHOD/import/DATASET/SEQUENCE, as the benchmark lays them."""
        folder = out / predictions.method / "import" / self.options.dataset / job.name
        with (
            FeatureStore(predictions.features) as features,
            MatchStore(predictions.matches) as matches,
        ):
            return export_benchmark(features, matches, job.images.names, folder)

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """What was exported of one sequence; the truth of the test set is not public."""
        shown = features_shown(predictions.features, job.images.names)
        with MatchStore(predictions.matches) as matches:
            counts = np.array([len(matches[pair]) for pair in job.pairs], np.float64)
        metrics = {
            "images": float(len(job.images.names)),
            "pairs": float(len(counts)),
            "matches": float(counts.mean()),
            "pairs without matches": float((counts == 0).sum()),
        }
        return [
            Row(
                predictions.method,
                job.name,
                job.name,
                "-",
                "-",
                shown.image_size,
                shown.keypoints,
                metrics,
            )
        ]


def find_sequences(data: Path) -> dict[str, ImageFolder]:
    """The images of each sequence by name. Raises DatasetError when none has two images."""
    if images := _images(data):
        return {data.resolve().name: images}
    folders = [path for path in sorted(data.glob("*")) if path.is_dir()]
    found = {path.name: images for path in folders if (images := _images(path))}
    if not found:
        raise DatasetError(f"No sequence with two or more images in {data}.")
    return found


def _images(folder: Path) -> ImageFolder | None:
    for place in IMAGE_FOLDERS:
        if (folder / place).is_dir():
            names = sorted(
                path.name for path in (folder / place).iterdir() if path.suffix.lower() in SUFFIXES
            )
            if len(names) > 1:
                return ImageFolder(folder / place, tuple(names))
    return None
