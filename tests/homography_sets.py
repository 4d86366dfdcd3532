"""Small data sets of pairs that a homography relates, and predictions of a perfect method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from silk_sfm.evaluation.protocol import Job, Predictions
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.geometry.homography import apply_homography
from silk_sfm.images import image_size
from silk_sfm.store import FeatureWriter, MatchWriter, Provenance

SIZE = (200, 160)
MADE = Provenance("made by a test", {}, {})


def texture(size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    """(H, W) uint8 blobs of several sizes."""
    rng = np.random.default_rng(seed)
    image = np.zeros(size[::-1], np.float32)
    for cell in (4, 9, 23):
        coarse = rng.normal(size=(size[1] // cell + 2, size[0] // cell + 2)).astype(np.float32)
        image += cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return np.uint8(np.clip(128 + 40 * image, 0, 255))  # type: ignore[no-any-return]


def tilted(k: int) -> np.ndarray:
    """(3, 3) a homography that moves corners by up to some 12 pixels."""
    return np.array([[1.0, 0.01 * k, 2.0 * k], [-0.01 * k, 1.0, -1.5 * k], [2e-5 * k, 1e-5, 1.0]])


def write_hpatches(root: Path, names: Sequence[str] = ("v_one", "i_two")) -> None:
    """Sequences of six images each; those of `i_` differ by gamma alone."""
    for index, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        first = texture(seed=index)
        cv2.imwrite(str(folder / "1.png"), first)
        for k in range(2, 7):
            homography = tilted(k) if name.startswith("v_") else np.eye(3)
            image = cv2.warpPerspective(first, homography, SIZE, borderMode=cv2.BORDER_REFLECT)
            if name.startswith("i_"):
                image = np.uint8(255 * (image / 255.0) ** (0.5 + 0.2 * k))
            cv2.imwrite(str(folder / f"{k}.png"), image)
            np.savetxt(folder / f"H_1_{k}", homography)


def write_perfect(
    folder: Path,
    job: Job,
    homographies: Mapping[tuple[str, str], np.ndarray],
    shift: tuple[float, float] = (0.0, 0.0),
) -> Predictions:
    """Stores of a method that finds the same points in both images of every pair.

    The first image of all pairs of an image has points on a grid; the others have them where the
    homography moves them, plus `shift`.
    """
    features: dict[str, LocalFeatures] = {}
    for (a, b), homography in homographies.items():
        size = image_size(job.images.path(a))
        grid = np.stack(np.meshgrid(*(np.arange(35, side - 35, 6.0) for side in size)), axis=-1)
        points = grid.reshape(-1, 2)
        features[a] = local_features(points, size)
        moved = apply_homography(homography, points) + shift
        features[b] = local_features(moved, image_size(job.images.path(b)))
    with FeatureWriter(folder / "features.h5", MADE) as store:
        for name, found in features.items():
            store.add(name, found)
    with MatchWriter(folder / "matches.h5", MADE) as matches:
        for pair in homographies:
            rows = np.arange(len(features[pair[0]]), dtype=np.int32)
            found_matches = Matches(np.stack([rows, rows], axis=1), np.ones(len(rows), np.float32))
            matches.add_pair(pair, found_matches, len(rows))
    return Predictions("perfect", folder)


def local_features(points: np.ndarray, size: tuple[int, int]) -> LocalFeatures:
    """Features at (N, 2) points; row i of every image has the same descriptor."""
    rng = np.random.default_rng(7)
    descriptors = rng.normal(size=(len(points), 16)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    scores = np.linspace(1, 0.5, len(points), dtype=np.float32)
    return LocalFeatures(points.astype(np.float32), scores, descriptors, size)
