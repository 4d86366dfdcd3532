"""Verification of pairs beside COLMAP's, with the same matches, intrinsics and threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from silk_sfm.benchmarking.figures import Figure, Scope, rate
from silk_sfm.benchmarking.stores import Fresh
from silk_sfm.colmap.cameras import Camera, CameraAssignment, mean_focal, rays
from silk_sfm.colmap.verification import read_essential, verify_with_colmap, write_tentative
from silk_sfm.evaluation.two_view_scores import pose_error_degrees
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.geometry.pose import RotationTranslation, area_under_curve, relative_pose
from silk_sfm.plugins import Correspondences
from silk_sfm.stages.verify import VerificationOptions, verify
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    Provenance,
    VerifiedStore,
    VerifiedWriter,
)
from silk_sfm.verifiers.magsac import Magsac, MagsacOptions

CAMERA = Camera("PINHOLE", 1600, 1200, (1300.0, 1300.0, 800.0, 600.0))
THRESHOLD_PX = 1.0
NOISE_PX = 0.5
N_MATCHES = 500
WRONG = (0.2, 0.7)
"""Smallest and largest share of wrong matches of a pair."""
FEATURES_MADE = Provenance("benchmark", {}, {})
MATCHES_MADE = Provenance("benchmark", {}, {"features": FEATURES_MADE.digest})

Pair = tuple[str, str]


def figures(scope: Scope) -> Iterator[Figure]:
    """Pairs per second from file to file, and the accuracy of the poses that come out."""
    scene = make_scene(6 if scope.quick else 25)
    ours, theirs = _Ours(scope.folder, scene), _Colmap(scope.folder / "colmap.db", scene)
    n = len(scene.matches)
    yield Figure(
        f"verify {n} pairs",
        "pairs/s",
        rate(ours.verify, n),
        rate(theirs.verify, n),
        "COLMAP's verify_matches",
        more_is_better=True,
        note=f"{N_MATCHES} matches a pair, {WRONG[0]:.0%} to {WRONG[1]:.0%} of them wrong, "
        f"noise {NOISE_PX} px, both with the true intrinsics, {THRESHOLD_PX} px and all cores",
    )
    yield Figure(
        f"AUC@1 degree of {n} pairs",
        "%",
        lambda: scene.score(ours.geometries()),
        lambda: scene.score(theirs.geometries()),
        "COLMAP's verify_matches",
        more_is_better=True,
        max_repeats=1,
    )


@dataclass(frozen=True, eq=False)
class Scene:
    """Points seen by cameras with known poses; tentative matches, some of them wrong."""

    poses: dict[str, RotationTranslation]
    pixels: dict[str, np.ndarray]
    matches: dict[Pair, Matches]

    def score(self, geometries: Mapping[Pair, TwoViewGeometry]) -> float:
        """AUC up to 1 degree, in percent, of the relative poses; pairs without one have failed."""
        errors = [
            self._error(pair, geometries[pair]) if pair in geometries else np.inf
            for pair in self.matches
        ]
        return 100 * area_under_curve(np.array(errors), [1.0])[0]

    def _error(self, pair: Pair, geometry: TwoViewGeometry) -> float:
        pixels = [
            self.pixels[name][indices]
            for name, indices in zip(pair, geometry.inliers.indices.T, strict=True)
        ]
        points = Correspondences(
            pixels_a=pixels[0],
            pixels_b=pixels[1],
            rays_a=rays(CAMERA, pixels[0]),
            rays_b=rays(CAMERA, pixels[1]),
            focal_px=mean_focal(CAMERA),
        )
        true = relative_pose(*(self.poses[name] for name in pair))
        every = np.ones(len(geometry.inliers), bool)
        return pose_error_degrees(geometry, points, every, true)


class _Ours:
    """Our stage on files."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self._features, self._matches = folder / "features.h5", folder / "matches.h5"
        self._verified = Fresh(folder / "verified")
        self._scene = scene
        with FeatureWriter(self._features, FEATURES_MADE) as features:
            for name, pixels in scene.pixels.items():
                ones = np.ones(len(pixels), np.float32)
                features.add(name, LocalFeatures(pixels, ones, ones[:, None], CAMERA.size))
        with MatchWriter(self._matches, MATCHES_MADE) as matches:
            for pair, found in scene.matches.items():
                matches.add_pair(pair, found, len(scene.pixels[pair[0]]))

    def verify(self) -> None:
        """Verify all pairs into a new store."""
        verifier = Magsac(MagsacOptions(threshold_px=THRESHOLD_PX))
        cameras = dict.fromkeys(self._scene.poses, CAMERA)
        with (
            FeatureStore(self._features) as features,
            MatchStore(self._matches) as matches,
            VerifiedWriter(self._verified.anew(), FEATURES_MADE) as store,
        ):
            verify(features, matches, verifier, store, VerificationOptions(), cameras)

    def geometries(self) -> dict[Pair, TwoViewGeometry]:
        """What the last run found."""
        with VerifiedStore(self._verified.path) as store:
            return {pair: store[pair] for pair in self._scene.matches}


class _Colmap:
    """COLMAP on a database."""

    def __init__(self, database: Path, scene: Scene) -> None:
        self._database, self._scene = database, scene
        names = list(scene.poses)
        cameras = CameraAssignment((CAMERA,), dict.fromkeys(names, 0))
        write_tentative(database, names, cameras, scene.pixels.__getitem__, scene.matches)

    def verify(self) -> None:
        """Verify all pairs anew."""
        verify_with_colmap(self._database, THRESHOLD_PX, seed=0)

    def geometries(self) -> dict[Pair, TwoViewGeometry]:
        """What the last run found."""
        return read_essential(self._database, self._scene.matches)


def make_scene(n_images: int, seed: int = 0) -> Scene:
    """Cameras on an arc of 90 degrees around N_MATCHES points; all pairs."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (N_MATCHES, 3)) * [2.0, 1.5, 1.0]
    poses = {
        f"{i:03d}.jpg": _looking_at_the_middle(angle)
        for i, angle in enumerate(np.linspace(-np.pi / 4, np.pi / 4, n_images))
    }
    pixels = {name: _seen(points, pose, rng) for name, pose in poses.items()}
    pairs = combinations(poses, 2)
    return Scene(poses, pixels, {pair: _partly_wrong(rng) for pair in pairs})


def _looking_at_the_middle(angle: float) -> RotationTranslation:
    """A camera 6 units away; x to the right, y down, z forward."""
    sine, cosine = np.sin(angle), np.cos(angle)
    rotation = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    return rotation, np.array([0.0, 0.0, 6.0])


def _seen(points: np.ndarray, pose: RotationTranslation, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) float32 pixels of (N, 3) points, with noise."""
    x, y, depth = (points @ pose[0].T + pose[1]).T
    focal, _, cx, cy = CAMERA.params
    pixels = np.stack([focal * x / depth + cx - 0.5, focal * y / depth + cy - 0.5], axis=1)
    return (pixels + rng.normal(scale=NOISE_PX, size=pixels.shape)).astype(np.float32)


def _partly_wrong(rng: np.random.Generator) -> Matches:
    """Point i with point i, but a random part of them shuffled."""
    rows = np.arange(N_MATCHES, dtype=np.int32)
    columns = rows.copy()
    wrong = rng.permutation(N_MATCHES)[: round(rng.uniform(*WRONG) * N_MATCHES)]
    columns[wrong] = np.roll(columns[wrong], 1)
    return Matches(np.stack([rows, columns], axis=1), np.ones(N_MATCHES, np.float32))
