"""What a method exported for a job, as the protocols on poses read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.evaluation.protocol import Predictions
from silk_sfm.pixels import size_within
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore
from silk_sfm.store.hdf5 import Closing


@dataclass(frozen=True, eq=False)
class MatchedPixels:
    """pixels_a, pixels_b: (M, 2) float64 pixels of the files; scores: (M,) float32"""

    pixels_a: np.ndarray
    pixels_b: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Shown:
    """keypoints: mean number in an image
    image_size: what the extractor saw, `1536x1024`, or `up to 1600 px` when sizes differ
    """

    keypoints: float
    image_size: str


class Exported(Closing):
    """The features and matches of one method, to use in a `with` block."""

    def __init__(self, predictions: Predictions) -> None:
        """Raises StoreError when a store is missing."""
        self.method = predictions.method
        self._features = FeatureStore(predictions.features)
        self._matches = MatchStore(predictions.matches)

    def close(self) -> None:
        """Let go of both stores."""
        self._features.close()
        self._matches.close()

    def matched(self, a: str, b: str) -> MatchedPixels:
        """The matches of a pair. Raises StoreError when they are missing or of other keypoints."""
        matches = self._matches[a, b]
        keypoints = [self._features.keypoints(name).astype(np.float64) for name in (a, b)]
        counts = [len(points) for points in keypoints]
        if len(matches) and (matches.indices.max(axis=0) >= counts).any():
            raise StoreError(
                f"{self._matches.path}: `{a}` and `{b}` are matched beyond their keypoints. "
                "Remove this folder and run again."
            )
        rows_a, rows_b = matches.indices.T
        return MatchedPixels(keypoints[0][rows_a], keypoints[1][rows_b], matches.scores)

    def file_size(self, name: str) -> tuple[int, int]:
        """(width, height) of an image file."""
        return self._features.image_size(name)

    def shown(self, names: Iterable[str]) -> Shown:
        """What a row of a table says of these images."""
        return _shown(self._features, list(names))


def features_shown(path: Path, names: Iterable[str]) -> Shown:
    """The same of a feature store. Raises StoreError when it is missing."""
    with FeatureStore(path) as features:
        return _shown(features, list(names))


def verifier_shown(path: Path) -> tuple[str, str]:
    """The verifier behind a verified store and its threshold, `-` when it does not tell.

    The threshold counts pixels of the image as the extractor saw it.
    """
    with VerifiedStore(path) as store:
        made = store.provenance
    threshold = made.options.get("threshold_px") if made else None
    return (made.plugin if made else "-", "-" if threshold is None else f"{threshold:g} px")


def max_side(features: FeatureStore) -> int | None:
    """What images were shrunk to for the extractor; None when they were not."""
    made = features.provenance
    return made.options.get("max_size") if made else None


def _shown(features: FeatureStore, names: list[str]) -> Shown:
    limit = max_side(features)
    sizes = {size_within(features.image_size(name), limit) for name in names}
    widths = " ".join(f"{width}x{height}" for width, height in sizes)
    image_size = widths if len(sizes) == 1 else f"up to {max(map(max, sizes))} px"
    return Shown(float(np.mean([features.count(name) for name in names])), image_size)
