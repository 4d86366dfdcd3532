"""Features and verified matches to a COLMAP database."""

from __future__ import annotations

from pathlib import Path

from silk_sfm.colmap.assignment import assign_cameras, cameras_of_sizes
from silk_sfm.colmap.cameras import CameraAssignment, CameraOptions
from silk_sfm.colmap.database import DatabaseCounts, write_database
from silk_sfm.errors import ReconstructionError
from silk_sfm.stages.origin import check_origin, check_output
from silk_sfm.store import FeatureStore, VerifiedStore


def export_colmap(
    features: FeatureStore,
    verified: VerifiedStore,
    database: Path,
    cameras: CameraOptions,
    image_dir: Path | None = None,
    overwrite: bool = False,
) -> DatabaseCounts:
    """Write a COLMAP database with all images of `features` and all pairs of `verified`.

    image_dir: the photos, for focal lengths from EXIF; without it a focal length that
        `cameras.intrinsics` does not give is a guess

    Raises ReconstructionError when there is a database already, StoreError when the stores do not
    belong together or one is `database`, ConfigError for intrinsics that do not fit.
    """
    check_output(database, features.path, verified.path)
    check_origin(features, verified)
    if database.exists() and not overwrite:
        raise ReconstructionError(f"There is a {database} already. Add --overwrite to replace it.")
    names = features.names
    return write_database(
        database,
        names,
        _cameras(features, cameras, image_dir),
        features.keypoints,
        ((a, b, verified[a, b]) for a, b in verified.pairs(names)),
    )


def _cameras(
    features: FeatureStore, options: CameraOptions, image_dir: Path | None
) -> CameraAssignment:
    if image_dir is None:
        sizes = {name: features.image_size(name) for name in features.names}
        return cameras_of_sizes(sizes, options)
    return assign_cameras(image_dir, features.names, options)
