"""How well a choice of a sweep does on the sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from silk_sfm.colmap.cameras import Camera, mean_focal, rays
from silk_sfm.colmap.model import Model
from silk_sfm.evaluation.protocol import Row
from silk_sfm.evaluation.two_view_scores import (
    geometry_errors_px,
    pose_error_degrees,
    typical_count,
)
from silk_sfm.geometry.pose import area_under_curve, relative_pose
from silk_sfm.plugins import Correspondences
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.tune_choices import Choice, TuneOptions
from silk_sfm.stages.tune_stores import Found, Sample, Stores
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore

Pair = tuple[str, str]


@dataclass(frozen=True)
class Tried:
    """A choice and how well it did on the sample.

    inliers: geometric mean over the pairs; auc: percent, NaN without ground truth
    matches, keypoints: means; verified: share of pairs with a geometry
    """

    choice: Choice
    inliers: float
    auc: float
    matches: float
    keypoints: float
    verified: float

    @property
    def score(self) -> float:
        """What choices are ranked by: AUC where there is one, else inliers."""
        return self.inliers if np.isnan(self.auc) else self.auc

    def row(self, base: Recipe, auc_degrees: float) -> Row:
        """As a row of a table."""
        threshold = self.choice.verifier_threshold_px
        metrics = {
            "inliers": self.inliers,
            "matches": self.matches,
            "verified": self.verified,
        }
        if not np.isnan(self.auc):
            metrics[f"AUC@{auc_degrees:g}"] = self.auc
        return Row(
            str(self.choice),
            "tune",
            "sample",
            base.verifier.name,
            "-" if threshold is None else f"{threshold:g} px",
            f"long side {self.choice.max_size}",
            self.keypoints,
            metrics,
        )


@dataclass(frozen=True)
class Scorer:
    """Scores choices on the pairs of a sample; `truth` has the poses where they are known."""

    sample: Sample
    options: TuneOptions
    truth: Model | None

    def score(self, choice: Choice, found: Found, stores: Stores) -> Tried:
        """The numbers of a choice whose stores hold every pair of the sample."""
        with (
            FeatureStore(found.features) as features,
            MatchStore(found.matches) as matches,
            VerifiedStore(found.verified) as verified,
        ):
            cameras = stores.cameras(features).by_name
            scored = [
                self._score(pair, features, matches, verified, cameras)
                for pair in self.sample.pairs
            ]
            keypoints = [features.count(name) for name in self.sample.names]
        inliers, errors, n_matches = np.array(scored).T
        auc = np.nan
        if self.truth is not None:
            auc = 100 * area_under_curve(errors, [self.options.auc_degrees])[0]
        return Tried(
            choice,
            typical_count(inliers),
            auc,
            float(n_matches.mean()),
            float(np.mean(keypoints)),
            float((inliers > 0).mean()),
        )

    def _score(
        self,
        pair: Pair,
        features: FeatureStore,
        matches: MatchStore,
        verified: VerifiedStore,
        cameras: Mapping[str, Camera],
    ) -> tuple[float, float, float]:
        """Inliers at the common threshold, pose error in degrees, number of matches of a pair."""
        tentative, geometry = matches[pair], verified[pair]
        if len(geometry.inliers) == 0:
            return 0.0, np.inf, float(len(tentative))
        points = correspondences(pair, tentative.indices, features, cameras)
        errors = geometry_errors_px(geometry, points)
        counted = errors <= self.options.count_px * self._unit_px(features.image_size(pair[0]))
        degrees = np.inf
        if self.truth is not None:
            degrees = pose_error_degrees(geometry, points, counted, _true(self.truth, pair))
        return float(np.count_nonzero(counted)), degrees, float(len(tentative))

    def _unit_px(self, size: tuple[int, int]) -> float:
        """Pixels of the file per pixel of the photo at the largest size that is tried."""
        return max(1.0, max(size) / max(self.options.max_sizes))


def correspondences(
    pair: Pair, indices: np.ndarray, features: FeatureStore, cameras: Mapping[str, Camera]
) -> Correspondences:
    """The points of (M, 2) matched keypoints, with rays where both cameras are known."""
    pixels = [
        features.keypoints(name)[indices[:, side]].astype(np.float64)
        for side, name in enumerate(pair)
    ]
    if not all(name in cameras for name in pair):
        return Correspondences(pixels[0], pixels[1])
    a, b = (cameras[name] for name in pair)
    focal = (mean_focal(a) + mean_focal(b)) / 2
    return Correspondences(pixels[0], pixels[1], rays(a, pixels[0]), rays(b, pixels[1]), focal)


def _true(model: Model, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    a, b = (model.poses[name] for name in pair)
    return relative_pose((a.rotation, a.translation), (b.rotation, b.translation))
