"""HPatches as KP2D measures on it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from silk_sfm.evaluation.hpatches_files import HPatchesFiles
from silk_sfm.evaluation.kp2d_metrics import ESTIMATOR, Kp2dMeasures, kp2d_measures
from silk_sfm.evaluation.planar import Size, mean_of_defined, planar_job, subset_rows
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.store import FeatureStore


class Kp2dStyle:
    """KP2D, Tab. 2 and 3: both image sizes, each with its number of points.

    Resizing moves homographies at pixel centres; the released code leaves out that half pixel.
    """

    title = "KP2D's metrics"
    seeded = True
    settings: ClassVar[dict[str, tuple[Size, int]]] = {
        "320x240": ((320, 240), 300),
        "640x480": ((640, 480), 1000),
    }
    """Image size and number of points, by the name of the job."""

    def __init__(self, files: HPatchesFiles, out: Path) -> None:
        self._data = {
            name: files.resized(out / f"images_{name}", lambda *_, size=size: size, "linear")
            for name, (size, _) in self.settings.items()
        }

    def jobs(self) -> list[Job]:
        """Features alone: KP2D's metrics match descriptors by themselves."""
        return [planar_job(name, *data, "features") for name, data in self._data.items()]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """Pairs without shared points, or without repeated ones, are left out of those means."""
        size, k = self.settings[job.name]
        pairs = self._data[job.name][1]
        with FeatureStore(predictions.features) as store:
            counts = np.array([min(store.count(pair.a), k) for pair in pairs])
            found = np.array(
                [
                    _row(
                        kp2d_measures(store[pair.a], store[pair.b], pair.homography, size, k, seed)
                    )
                    for pair in pairs
                ]
            )

        def measure(rows: np.ndarray) -> tuple[float, dict[str, float]]:
            means = map(mean_of_defined, found[rows].T)
            return float(counts[rows].mean()), dict(zip(COLUMNS, means, strict=True))

        threshold = f"{ESTIMATOR.threshold_px:g} px"
        base = Row(predictions.method, job.name, "", ESTIMATOR.label, threshold, job.name, 0.0)
        return subset_rows(base, pairs, measure)


COLUMNS = ("Repeatability", "Localization error", "C1", "C3", "C5", "MScore")


def _row(found: Kp2dMeasures) -> list[float]:
    """The measures of a pair in the order of `COLUMNS`; NaN where undefined."""
    undefined = float("nan")
    repeated = undefined if found.repeatability is None else found.repeatability
    localization = undefined if found.localization_px is None else found.localization_px
    return [repeated, localization, *found.correct, found.matching_score]
