"""HPatches as Descriptor Space (MSNet) measures on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from silk_sfm.evaluation.hpatches_files import HPatchesFiles
from silk_sfm.evaluation.pck import correct_keypoints, draw_correspondences
from silk_sfm.evaluation.planar import Size, columns, planar_job, subset_rows
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.store import FeatureStore

THRESHOLDS = (1, 3, 5, 10)
LONG_SIDE = 640


def size_with_long_side(size: Size, long_side: int) -> Size:
    """The size with the longer side scaled to `long_side`, up or down."""
    width, height = (max(1, round(side * long_side / max(size))) for side in size)
    return width, height


class PckStyle:
    """Descriptor Space, Tab. 1: descriptors at given corners; nothing is detected.

    Corners are drawn with a fixed seed for each pair, and the nearest descriptor is found exactly;
    the released code does both at random.
    """

    title = f"Descriptor Space's PCK, up to 1,000 given corners, longer side {LONG_SIDE} px"
    seeded = False

    def __init__(self, files: HPatchesFiles, out: Path) -> None:
        self._images, self._pairs = files.resized(
            out / f"images_long_{LONG_SIDE}",
            lambda size, _: size_with_long_side(size, LONG_SIDE),
            "linear",
        )
        self._points = [
            draw_correspondences(
                self._images.read(pair.a, "grey").pixels,
                pair.homography,
                pair.size_b,
                np.random.default_rng(index),
            )
            for index, pair in enumerate(self._pairs)
        ]

    def jobs(self) -> list[Job]:
        """One job that describes the points of all pairs of an image, one pair after the other."""
        keypoints = {
            name: np.concatenate([points for _, points in self._of_image(name)])
            for name in self._images.names
        }
        job = planar_job(f"points_{LONG_SIDE}", self._images, self._pairs, "features")
        return [replace(job, keypoints=keypoints)]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """Pairs without corners are left out of the means."""
        with FeatureStore(predictions.features) as store:
            described = {name: self._by_pair(name, store) for name in self._images.names}
        shares = np.array(
            [
                correct_keypoints(
                    described[pair.a][index], described[pair.b][index], points_b, THRESHOLDS
                )
                for index, (pair, (_, points_b)) in enumerate(
                    zip(self._pairs, self._points, strict=True)
                )
            ]
        )
        counts = np.array([len(points) for points, _ in self._points])

        def measure(rows: np.ndarray) -> tuple[float, dict[str, float]]:
            return float(counts[rows].mean()), columns("PCK", THRESHOLDS, shares[rows])

        size = f"long side {LONG_SIDE}"
        base = Row(predictions.method, job.name, "", "-", "-", size, 0.0)
        return subset_rows(base, self._pairs, measure)

    def _of_image(self, name: str) -> list[tuple[int, np.ndarray]]:
        """(index of the pair, its points in the image `name`), in the order of the pairs."""
        return [
            (index, self._points[index][int(name == pair.b)])
            for index, pair in enumerate(self._pairs)
            if name in (pair.a, pair.b)
        ]

    def _by_pair(self, name: str, store: FeatureStore) -> dict[int, np.ndarray]:
        """(N, D) descriptors of the points of each pair that the image is part of."""
        parts = self._of_image(name)
        ends = np.cumsum([len(points) for _, points in parts])[:-1]
        split = np.split(store[name].descriptors, ends)
        return {index: rows for (index, _), rows in zip(parts, split, strict=True)}
