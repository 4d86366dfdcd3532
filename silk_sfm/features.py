"""What extractors, matchers and verifiers hand over: frozen arrays that check themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from silk_sfm.pixels import PixelGrid
from silk_sfm.shapes import check_dtypes, check_shapes

GeometryKind = Literal["essential", "fundamental", "homography"]


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Keypoints of one image with their descriptors.

    keypoints: (N, 2) float32, (x, y) pixels; (0, 0) is the centre of the top-left pixel
    scores: (N,) float32, higher is better
    descriptors: (N, D) float32, rows of unit length
    image_size: (width, height) of the image whose pixels the keypoints count
    uncertainty: standard deviation of a keypoint in those pixels
    scales: (N,) float32 pixels, the size of what a keypoint stands for, as its method counts it
        (SIFT: sigma of its Gaussian); None when the method has none
    orientations: (N,) float32 degrees from the x axis towards the y axis; None likewise
    method: name of the extractor, as far as it is known
    turned: (3, N, D) float32, the descriptors when the image is turned by 90, 180 and 270 degrees
        counter-clockwise; a row of zeros where there is none; None without such a search
    """

    keypoints: np.ndarray
    scores: np.ndarray
    descriptors: np.ndarray
    image_size: tuple[int, int]
    uncertainty: float = 1.0
    scales: np.ndarray | None = None
    orientations: np.ndarray | None = None
    method: str = ""
    turned: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_shapes(
            keypoints=(self.keypoints, "N 2"),
            scores=(self.scores, "N"),
            descriptors=(self.descriptors, "N D"),
        )
        check_dtypes(
            keypoints=(self.keypoints, np.float32),
            scores=(self.scores, np.float32),
            descriptors=(self.descriptors, np.float32),
        )
        for name, values in (("scales", self.scales), ("orientations", self.orientations)):
            if values is not None:
                check_shapes(scores=(self.scores, "N"), **{name: (values, "N")})
                check_dtypes(**{name: (values, np.float32)})
        if self.turned is not None:
            check_shapes(descriptors=(self.descriptors, "N D"), turned=(self.turned, "3 N D"))
            check_dtypes(turned=(self.turned, np.float32))

    def __len__(self) -> int:
        return len(self.keypoints)

    @staticmethod
    def empty(descriptor_size: int, image_size: tuple[int, int]) -> LocalFeatures:
        """Features of an image in which nothing was found."""
        return LocalFeatures(
            keypoints=np.zeros((0, 2), np.float32),
            scores=np.zeros(0, np.float32),
            descriptors=np.zeros((0, descriptor_size), np.float32),
            image_size=image_size,
        )

    @staticmethod
    def joined(parts: Sequence[LocalFeatures]) -> LocalFeatures:
        """All features of parts that one method found in an image.

        The rest is that of the first part with keypoints.
        """
        return replace(
            next(filter(len, parts), parts[0]),
            keypoints=np.concatenate([part.keypoints for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            descriptors=np.concatenate([part.descriptors for part in parts]),
            scales=_joined_if_given([part.scales for part in parts]),
            orientations=_joined_if_given([part.orientations for part in parts]),
            turned=_joined_if_given([part.turned for part in parts], axis=1),
        )

    def in_file(self, grid: PixelGrid) -> LocalFeatures:
        """The same features in raw pixels of the file whose pixels `grid` describes."""
        return replace(
            self,
            keypoints=grid.to_raw(self.keypoints),
            image_size=grid.raw_size,
            uncertainty=self.uncertainty * grid.mean_scale,
            scales=None if self.scales is None else self.scales * np.float32(grid.mean_scale),
            orientations=None if self.orientations is None else grid.turn_to_raw(self.orientations),
        )

    def best(self, n: int | None = None) -> LocalFeatures:
        """The `n` features of the highest scores (None: all), the best first."""
        return self.select(np.argsort(-self.scores, kind="stable")[:n])

    def select(self, rows: np.ndarray) -> LocalFeatures:
        """The features at `rows`: (M,) integers or an (N,) bool mask."""
        return replace(
            self,
            keypoints=self.keypoints[rows],
            scores=self.scores[rows],
            descriptors=self.descriptors[rows],
            scales=None if self.scales is None else self.scales[rows],
            orientations=None if self.orientations is None else self.orientations[rows],
            turned=None if self.turned is None else self.turned[:, rows],
        )


def _joined_if_given(arrays: Sequence[np.ndarray | None], axis: int = 0) -> np.ndarray | None:
    """None when no part has any; a part without keypoints may have none, too."""
    given = [array for array in arrays if array is not None]
    return np.concatenate(given, axis) if given else None


@dataclass(frozen=True, eq=False)
class Matches:
    """Matches between the keypoints of image a and image b, at most one per keypoint.

    indices: (M, 2) int32, row (i, j): keypoint i of image a is keypoint j of image b
    scores: (M,) float32, higher is better
    """

    indices: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        check_shapes(indices=(self.indices, "M 2"), scores=(self.scores, "M"))
        check_dtypes(indices=(self.indices, np.int32), scores=(self.scores, np.float32))

    def __len__(self) -> int:
        return len(self.indices)

    @staticmethod
    def empty() -> Matches:
        """No match."""
        return Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))

    def select(self, rows: np.ndarray) -> Matches:
        """The matches at `rows`: (K,) integers or an (M,) bool mask."""
        return Matches(self.indices[rows], self.scores[rows])


@dataclass(frozen=True, eq=False)
class TwoViewGeometry:
    """What verification found out about one pair of images.

    kind: which matrix was estimated
    matrix: (3, 3) float64; E for normalised camera rays, F and H for pixels (centre of the top-left
        pixel at (0, 0)): x_b' F x_a = 0, x_b = H x_a
    inliers: the matches that agree with the matrix
    threshold_px: largest error of an inlier, in pixels
    n_tentative: how many matches there were before
    """

    kind: GeometryKind
    matrix: np.ndarray
    inliers: Matches
    threshold_px: float
    n_tentative: int

    def __post_init__(self) -> None:
        check_shapes(matrix=(self.matrix, "3 3"))
        check_dtypes(matrix=(self.matrix, np.float64))
