"""`silk-sfm evaluate registration`: RGB-D pairs, their matches lifted to points in space."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.exported import Exported, MatchedPixels
from silk_sfm.evaluation.planar import OVERALL
from silk_sfm.evaluation.pose_estimators import rays
from silk_sfm.evaluation.protocol import Job, Predictions, Row
from silk_sfm.evaluation.registration_metrics import (
    RegistrationError,
    registration_error,
    registration_metrics,
)
from silk_sfm.evaluation.rgbd import DepthMap, Frame, find_frames, relative_motion
from silk_sfm.geometry.pose import RotationTranslation
from silk_sfm.geometry.rigid import ransac_rigid
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList

log = logging.getLogger(__name__)

NO_MOTION: RotationTranslation = (np.eye(3), np.zeros(3))
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class RegistrationOptions:
    """Which frames are paired, and how they are registered."""

    pair_file: Path | None = None
    """Pairs of colour images, two names per line relative to DATA. Without it frames whose numbers
    differ by `separation` are paired, every frame at most once as the first."""
    separation: int = 20
    """How far the numbers of the two frames of a pair are apart, as in SiLK and
    unsupervisedR&R."""
    threshold_m: float = 0.05
    """Largest distance of an inlier in metres."""
    n_samples: int = 1000
    """Sets of three matches that are tried."""
    depth_units: float = 1000.0
    """Units of the depth maps per metre: 1000 in ScanNet, 5000 in TUM's sequences."""
    cloud_points: int = 16384
    """Points of a depth map that the Chamfer distance is measured with, at most."""

    def __post_init__(self) -> None:
        for name in ("separation", "threshold_m", "n_samples", "depth_units", "cloud_points"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}.")


class Registration:
    """Accuracy of rigid motions between depth maps, found by weighted Procrustes in RANSAC.

    A pair that cannot be registered counts as not moved at all.
    """

    Options: ClassVar[type[RegistrationOptions]] = RegistrationOptions
    seeded = True
    published = "registration"

    def __init__(self, data: Path, out: Path, options: RegistrationOptions) -> None:
        """Raises DatasetError for frames that are missing or malformed."""
        self.options = options
        scenes = find_frames(data)
        self.pairs = (
            list(_listed(scenes, data, options.pair_file))
            if options.pair_file
            else list(_separated(scenes, options.separation))
        )
        if not self.pairs and options.pair_file:
            raise DatasetError(f"Pair list {options.pair_file} is empty.")
        if not self.pairs:
            raise DatasetError(f"No two frames in {data} are {options.separation} numbers apart.")
        self.title = (
            f"Registration of RGB-D frames, {data.resolve().name} ({len(self.pairs)} pairs)"
        )
        for frame in dict.fromkeys(frame for pair in self.pairs for frame in pair):
            frame.check()
        names = sorted({frame.name for pair in self.pairs for frame in pair})
        self._images = ImageFolder(data, tuple(names))

    def jobs(self) -> list[Job]:
        """One job on the colour images."""
        pairs = tuple((a.name, b.name) for a, b in self.pairs)
        return [Job("frames", self._images, PairList(pairs))]

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """One row."""
        options = self.options
        with Exported(predictions) as exported:
            measured = [self._measure(exported, a, b, seed) for a, b in self.pairs]
            shown = exported.shown(self._images.names)
        metrics = registration_metrics([each.error for each in measured])
        metrics["matches"] = float(np.mean([each.n_matches for each in measured]))
        metrics["failed"] = float(sum(each.failed for each in measured))
        metrics["pairs"] = float(len(measured))
        return [
            Row(
                predictions.method,
                job.name,
                OVERALL,
                f"Procrustes RANSAC, {options.n_samples} samples",
                f"{100 * options.threshold_m:g} cm",
                shown.image_size,
                shown.keypoints,
                metrics,
            )
        ]

    def _measure(self, exported: Exported, a: Frame, b: Frame, seed: int) -> _Measured:
        matched = exported.matched(a.name, b.name)
        depths = [frame.read_depth(self.options.depth_units) for frame in (a, b)]
        points, others, weights = _lifted(matched, a, b, depths)
        rng = np.random.default_rng([seed, zlib.crc32(f"{a.name} {b.name}".encode())])
        found = ransac_rigid(
            points, others, weights, self.options.threshold_m, self.options.n_samples, rng
        )
        motion = (found.rotation, found.translation) if found else NO_MOTION
        clouds = [depth.cloud(self.options.cloud_points) for depth in depths]
        error = registration_error(motion, relative_motion(a, b), *clouds)
        return _Measured(error, len(points), found is None)


@dataclass(frozen=True)
class _Measured:
    """n_matches: with depth in both frames"""

    error: RegistrationError
    n_matches: int
    failed: bool


def _lifted(
    matched: MatchedPixels, a: Frame, b: Frame, depths: list[DepthMap]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, 3) points in a and b in metres and their (M,) weights; matches without depth go."""
    points = depths[0].lift(rays(matched.pixels_a, a.read_camera()))
    others = depths[1].lift(rays(matched.pixels_b, b.read_camera()))
    there = np.isfinite(points).all(axis=1) & np.isfinite(others).all(axis=1)
    weights = np.maximum(matched.scores.astype(np.float64), LEAST_WEIGHT)
    return points[there], others[there], weights[there]


def _separated(scenes: dict[str, list[Frame]], separation: int) -> Iterator[tuple[Frame, Frame]]:
    """Frames n and n + separation, for n = first, first + separation, ...

    ScanNet's frames without a pose are left out, and the log says how many.
    """
    for scene, frames in scenes.items():
        known = {frame.number: frame for frame in frames if np.isfinite(frame.read_pose()).all()}
        if len(known) < len(frames):
            log.warning("%s: %d frames have no pose.", scene, len(frames) - len(known))
        first = frames[0].number if frames else 0
        for number, frame in known.items():
            other = known.get(number + separation)
            if other is not None and (number - first) % separation == 0:
                yield frame, other


def _listed(
    scenes: dict[str, list[Frame]], data: Path, pair_file: Path
) -> Iterator[tuple[Frame, Frame]]:
    """The pairs of a list. Raises PairError for unknown names, DatasetError for missing poses."""
    frames = {frame.name: frame for found in scenes.values() for frame in found}
    for a, b in PairList.read(pair_file, known=frames):
        relative_motion(frames[a], frames[b])
        yield frames[a], frames[b]
