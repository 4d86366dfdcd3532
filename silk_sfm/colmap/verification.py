"""COLMAP's own verification of given matches, as the peer in a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pycolmap

from silk_sfm.colmap.cameras import CameraAssignment
from silk_sfm.colmap.database import write_database
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.features import Matches, TwoViewGeometry

Pair = tuple[str, str]


def write_tentative(
    path: Path,
    names: Sequence[str],
    cameras: CameraAssignment,
    keypoints: Callable[[str], np.ndarray],
    matches: Mapping[Pair, Matches],
) -> None:
    """Write a COLMAP database with matches that are not verified, and a list of their pairs.

    keypoints: (N, 2) float32 pixels of an image; (0, 0) is the centre of the top-left pixel. The
    list is `path` with the suffix `.txt`; names must not hold spaces.
    """
    pairs = ((a, b, _not_verified(found)) for (a, b), found in matches.items())
    write_database(path, names, cameras, keypoints, pairs)
    with pycolmap.Database.open(path) as database:
        database.clear_two_view_geometries()
    path.with_suffix(".txt").write_text("".join(f"{a} {b}\n" for a, b in matches), "utf-8")


def verify_with_colmap(path: Path, threshold_px: float, seed: int) -> None:
    """Verify all pairs of a database that `write_tentative` made, anew, with all cores."""
    with pycolmap.Database.open(path) as database:
        database.clear_two_view_geometries()
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error = threshold_px
    options.ransac.random_seed = seed
    with colmap_log():
        pycolmap.verify_matches(path, path.with_suffix(".txt"), options)


def read_essential(path: Path, pairs: Iterable[Pair]) -> dict[Pair, TwoViewGeometry]:
    """The essential matrix and inliers of each pair that COLMAP verified with one."""
    found: dict[Pair, TwoViewGeometry] = {}
    with pycolmap.Database.open(path) as database:
        ids = {image.name: image.image_id for image in database.read_all_images()}
        for a, b in pairs:
            row = database.read_two_view_geometry(ids[a], ids[b])
            if row.E is not None and len(row.inlier_matches):
                inliers = _as_matches(row.inlier_matches)
                matrix = np.asarray(row.E, np.float64)
                found[a, b] = TwoViewGeometry("essential", matrix, inliers, 0.0, len(inliers))
    return found


def _as_matches(indices: np.ndarray) -> Matches:
    return Matches(np.ascontiguousarray(indices, np.int32), np.ones(len(indices), np.float32))


def _not_verified(matches: Matches) -> TwoViewGeometry:
    return TwoViewGeometry("essential", np.zeros((3, 3)), matches, 0.0, len(matches))
