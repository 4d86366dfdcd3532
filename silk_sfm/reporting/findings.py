"""What a report tells, as plain data: images with their status, pairs, models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from silk_sfm.colmap.model import Model
from silk_sfm.colmap.observed import Observations
from silk_sfm.shapes import check_shapes
from silk_sfm.stages.run_record import RunRecord

Status = Literal[
    "registered", "other model", "left out", "unverified", "unpaired", "no keypoints", "unread"
]
STATUS_MEANING: dict[Status, str] = {
    "registered": "registered",
    "other model": "in another model",
    "left out": "verified, not registered",
    "unverified": "no verified pair",
    "unpaired": "in no pair",
    "no keypoints": "no keypoints",
    "unread": "could not be used",
}
"""How the page names each status, in the order in which it lists them."""


@dataclass(frozen=True)
class Sources:
    """Where a report reads from; what is None is left out of it.

    title: of the page
    models: model folders, the largest first
    features, verified: stores; photos: the folder that the images are named in
    """

    title: str
    models: tuple[Path, ...] = ()
    features: Path | None = None
    verified: Path | None = None
    photos: Path | None = None
    run: RunRecord | None = None


@dataclass(frozen=True, eq=False)
class PairTable:
    """The pairs that were verified, or tried, of images that are counted in `Findings.images`.

    first, second: (K,) int64; inliers, tentative: (K,) int64, matches of each pair
    """

    first: np.ndarray
    second: np.ndarray
    inliers: np.ndarray
    tentative: np.ndarray

    def __post_init__(self) -> None:
        check_shapes(
            first=(self.first, "K"),
            second=(self.second, "K"),
            inliers=(self.inliers, "K"),
            tentative=(self.tentative, "K"),
        )

    def __len__(self) -> int:
        return len(self.first)

    @property
    def verified(self) -> np.ndarray:
        """(K,) bool: which pairs have inliers."""
        return np.asarray(self.inliers > 0)

    def of(self, image: int) -> np.ndarray:
        """Rows of the pairs that an image is in."""
        return np.flatnonzero((self.first == image) | (self.second == image))

    def partner(self, row: int, image: int) -> int:
        """The other image of a pair."""
        first, second = int(self.first[row]), int(self.second[row])
        return second if first == image else first


@dataclass(frozen=True, eq=False)
class ImageFinding:
    """What is known of one image.

    why: one sentence, what its status comes from
    n_keypoints: None where neither store nor model tells
    size: (width, height) in pixels of the raw file; None where it is not known
    observed: what it sees of the model; None unless registered
    """

    name: str
    status: Status
    why: str
    n_keypoints: int | None
    size: tuple[int, int] | None
    observed: Observations | None


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything a report shows but the photos.

    images: sorted by name; pairs: None without a verified store
    model: the largest one; None when there is none
    model_sizes: registered images of all models, the largest first
    """

    sources: Sources
    images: tuple[ImageFinding, ...]
    pairs: PairTable | None
    model: Model | None
    model_sizes: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [image.name for image in self.images]
