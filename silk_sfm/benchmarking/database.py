"""COLMAP databases of a million verified pairs, beside hloc's way: row by row, no transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from silk_sfm.benchmarking.figures import Figure, Number, Scope, rate
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.colmap.cameras import CameraAssignment, simple_camera
from silk_sfm.colmap.database import VerifiedPair, write_database, write_rows_alone
from silk_sfm.features import Matches, TwoViewGeometry

PAIRS_PER_IMAGE = 20
N_KEYPOINTS, N_INLIERS = 256, 100
NO_TRANSACTION = "hloc's way: each row written on its own, no transaction"


@dataclass(frozen=True)
class MadeUpPairs:
    """Verified pairs that exist one at a time: of each image with the 20 next ones."""

    n_images: int

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [f"flight/{i:06d}.jpg" for i in range(self.n_images)]

    @property
    def n_pairs(self) -> int:
        """How many pairs there are."""
        return sum(min(PAIRS_PER_IMAGE, self.n_images - 1 - i) for i in range(self.n_images))

    @property
    def cameras(self) -> CameraAssignment:
        """One camera for all images."""
        camera = simple_camera("SIMPLE_RADIAL", (1600, 1200), 1500.0, "exif")
        return CameraAssignment((camera,), dict.fromkeys(self.names, 0))

    def keypoints(self, name: str) -> np.ndarray:
        """(256, 2) float32 pixels, other ones for each image."""
        return _random(name).uniform(0, 1200, (N_KEYPOINTS, 2)).astype(np.float32)

    def pairs(self) -> Iterator[VerifiedPair]:
        """Pairs with 100 inliers each."""
        names, rng = self.names, np.random.default_rng(0)
        rows = np.stack([rng.permutation(N_KEYPOINTS)[:N_INLIERS] for _ in range(2)], axis=1)
        matches = Matches(rows.astype(np.int32), np.ones(N_INLIERS, np.float32))
        for i, name in enumerate(names):
            matrix = _random(name).normal(size=(3, 3))
            for other in names[i + 1 : i + 1 + PAIRS_PER_IMAGE]:
                yield name, other, TwoViewGeometry("fundamental", matrix, matches, 1.0, 200)


def figures(scope: Scope) -> Iterator[Figure]:
    """Writing 1,000,000 pairs of 50,000 images: rate, memory, size."""
    ours, theirs = (
        (MadeUpPairs(300), MadeUpPairs(60))
        if scope.quick
        else (MadeUpPairs(50_000), MadeUpPairs(1_000))
    )
    path, other = scope.folder / "ours.db", scope.folder / "alone.db"
    what = f"{ours.n_pairs} pairs of {ours.n_images} images"
    yield Figure(
        f"write {what} to a COLMAP database",
        "pairs/s",
        rate(lambda: write(path, ours), ours.n_pairs),
        rate(lambda: write_alone(other, theirs), theirs.n_pairs),
        NO_TRANSACTION,
        more_is_better=True,
        max_repeats=1,
        note=f"{N_INLIERS} inliers a pair, {N_KEYPOINTS} keypoints an image; the baseline "
        f"{theirs.n_pairs} pairs",
    )
    yield Figure(f"size of the database of {what}", "MB", _megabytes(path), max_repeats=1)
    yield Figure(
        f"memory of writing {what}",
        "MB",
        peak_above_inputs_mb(partial(_inputs, path, ours), write),
        max_repeats=1,
    )


def write(path: Path, made: MadeUpPairs) -> None:
    """Our way: one transaction, then renamed to its place."""
    write_database(path, made.names, made.cameras, made.keypoints, made.pairs())


def write_alone(path: Path, made: MadeUpPairs) -> None:
    """The way of hloc."""
    path.unlink(missing_ok=True)
    write_rows_alone(path, made.names, made.cameras, made.keypoints, made.pairs())


def _inputs(path: Path, made: MadeUpPairs) -> tuple[Path, MadeUpPairs]:
    return path, made


def _megabytes(path: Path) -> Number:
    return lambda: path.stat().st_size / 1e6


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(int(name.removeprefix("flight/").removesuffix(".jpg")))
