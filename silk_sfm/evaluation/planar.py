"""Pairs of images that a homography relates: what HPatches and EVD are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.evaluation.exported import max_side
from silk_sfm.evaluation.protocol import Goal, Job, Predictions, Row
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.pixels import size_within
from silk_sfm.store import FeatureStore, MatchStore

Size = tuple[int, int]
"""(width, height) in pixels."""
OVERALL = "overall"


@dataclass(frozen=True, eq=False)
class PlanarPair:
    """a, b: image names; homography: (3, 3), pixels of a to pixels of b, as they are evaluated
    size_a, size_b: of these images; subset: the group that a table lists it in
    """

    a: str
    b: str
    homography: np.ndarray
    size_a: Size
    size_b: Size
    subset: str


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """What a method found in one pair.

    keypoints_a, keypoints_b: (N, 2) float32 pixels
    matched_a, matched_b: (M, 2) float32 pixels, row by row the same thing
    """

    pair: PlanarPair
    keypoints_a: np.ndarray
    keypoints_b: np.ndarray
    matched_a: np.ndarray
    matched_b: np.ndarray

    @property
    def n_keypoints(self) -> float:
        """Mean number of keypoints of both images."""
        return (len(self.keypoints_a) + len(self.keypoints_b)) / 2


def planar_job(
    name: str, images: ImageFolder, pairs: Sequence[PlanarPair], goal: Goal = "matches"
) -> Job:
    """The job of exporting all `pairs`."""
    return Job(name, images, PairList.unique((pair.a, pair.b) for pair in pairs), goal)


def read_matched(pairs: Sequence[PlanarPair], predictions: Predictions) -> Iterator[MatchedPair]:
    """The keypoints and matches of every pair. Raises StoreError when one is not there."""
    with (
        FeatureStore(predictions.features) as features,
        MatchStore(predictions.matches) as matches,
    ):
        for pair in pairs:
            a, b = features.keypoints(pair.a), features.keypoints(pair.b)
            indices = matches[pair.a, pair.b].indices
            if len(indices) and (indices.max(axis=0) >= (len(a), len(b))).any():
                raise StoreError(
                    f"{predictions.matches}: `{pair.a}` and `{pair.b}` are matched beyond their "
                    "keypoints. Remove this folder and run again."
                )
            yield MatchedPair(pair, a, b, a[indices[:, 0]], b[indices[:, 1]])


def read_max_side(predictions: Predictions) -> int | None:
    """What the method shrank images to; None when it took them as they are."""
    with FeatureStore(predictions.features) as features:
        return max_side(features)


def subset_rows(
    base: Row,
    pairs: Sequence[PlanarPair],
    measure: Callable[[np.ndarray], tuple[float, dict[str, float]]],
    limit: int | None = None,
) -> list[Row]:
    """The row of all pairs, then one of each subset where there are several.

    base: gives the rest; an empty image size is filled in with that of the images
    measure: (K,) indices of pairs -> mean number of keypoints and the metrics
    limit: longer side that the method shrinks images to
    """
    subsets = np.array([pair.subset for pair in pairs])
    groups = {OVERALL: np.arange(len(pairs))}
    for name in dict.fromkeys(subsets.tolist()):
        if name != OVERALL:
            groups[name] = np.flatnonzero(subsets == name)
    rows: list[Row] = []
    for subset, indices in groups.items():
        keypoints, metrics = measure(indices)
        size = base.image_size or shown_size([pairs[row] for row in indices.tolist()], limit)
        rows.append(
            replace(base, subset=subset, image_size=size, keypoints=keypoints, metrics=metrics)
        )
    return rows


def shown_size(pairs: Sequence[PlanarPair], limit: int | None) -> str:
    """`640x480` when a method sees all images at one size, else the range of longer sides."""
    sizes = {size_within(size, limit) for pair in pairs for size in (pair.size_a, pair.size_b)}
    if len(sizes) == 1:
        return "x".join(map(str, sizes.pop()))
    longer = sorted({max(size) for size in sizes})
    return f"long side {' to '.join(map(str, dict.fromkeys((longer[0], longer[-1]))))}"


def mean_of_defined(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN when there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def columns(name: str, thresholds: Sequence[float], values: np.ndarray) -> dict[str, float]:
    """`name@t` for each threshold: the mean over (P, T) values that are not NaN."""
    return {
        f"{name}@{threshold:g}": mean_of_defined(values[:, column])
        for column, threshold in enumerate(thresholds)
    }
