"""A made-up reconstruction on disk, as `silk-sfm reconstruct` leaves it, without running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from many_view_scene import SIZE, TRUE, ManyViewScene, many_view_scene

from silk_sfm.colmap.cameras import to_pycolmap
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.pixels import to_colmap
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance, VerifiedWriter

MADE = Provenance("made-up", {}, {})
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class ReportScene:
    """A scene whose images have other names; keypoint i of every image shows point i."""

    scene: ManyViewScene
    names: tuple[str, ...]

    def keypoints(self, name: str) -> np.ndarray:
        return self.scene.keypoints[self.scene.names[self.names.index(name)]]

    def write_model(self, folder: Path, names: Sequence[str], n_seen: int) -> None:
        """A binary model of these images; each sees the first `n_seen` points."""
        folder.mkdir(parents=True)
        model = pycolmap.Reconstruction()
        model.add_camera_with_trivial_rig(to_pycolmap(TRUE, 1))
        for number, name in enumerate(names, start=1):
            rotation, translation = self.scene.poses[self.scene.names[self.names.index(name)]]
            image = pycolmap.Image(
                name=name, camera_id=1, image_id=number, keypoints=to_colmap(self.keypoints(name))
            )
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), translation)
            model.add_image_with_trivial_frame(image, pose)
        for row, xyz in enumerate(self.scene.points[:n_seen]):
            seen = [pycolmap.TrackElement(i, row) for i in range(1, len(names) + 1)]
            colour = np.array([90, row % 256, 200], np.uint8)
            model.add_point3D(xyz, pycolmap.Track(seen), colour)
        model.write_binary(folder)

    def write_features(self, path: Path, counts: Mapping[str, int]) -> None:
        """A feature store; an image has its first `counts[name]` keypoints."""
        with FeatureWriter(path, MADE) as store:
            for name, count in counts.items():
                xy = self.keypoints(name)[:count].copy()
                scores = np.ones(len(xy), np.float32)
                store.add(name, LocalFeatures(xy, scores, np.ones((len(xy), 4), np.float32), SIZE))

    def write_verified(self, path: Path, inliers: Mapping[Pair, int]) -> None:
        """A verified store of the feature store beside it; each pair has 20 matches more."""
        made = MADE
        for beside in path.parent.glob("f*.h5"):
            with FeatureStore(beside) as features:
                made = Provenance(MADE.plugin, {}, {"features": features.digest})
        with VerifiedWriter(path, made) as store:
            for pair, count in inliers.items():
                rows = np.arange(count, dtype=np.int32)
                matches = Matches(np.stack([rows, rows], axis=1), np.ones(count, np.float32))
                found = TwoViewGeometry("essential", np.eye(3), matches, 1.0, count + 20)
                store.add_pair(pair, found, len(self.scene.points))


def report_scene(names: Iterable[str], n_points: int = 300) -> ReportScene:
    """A scene with an image for each name."""
    listed = tuple(names)
    return ReportScene(many_view_scene(len(listed), n_points), listed)


def write_photo(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """A photo with structure, of about the size that photos have as JPEG."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".jpg", pixels)
    path.write_bytes(encoded.tobytes())


def write_whole(out: Path, names: Sequence[str], registered: Sequence[str]) -> ReportScene:
    """OUT with photos, stores and a model of some of the images."""
    scene = report_scene(names)
    for seed, name in enumerate(names):
        write_photo(out / "photos" / name, seed)
    scene.write_features(out / "features.h5", dict.fromkeys(names, 300))
    pairs = {pair: 30 + 5 * i for i, pair in enumerate(combinations(sorted(names), 2))}
    scene.write_verified(out / "verified.h5", pairs)
    scene.write_model(out / "sparse" / "0", registered, 200)
    return scene
