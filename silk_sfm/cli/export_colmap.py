"""`silk-sfm export-colmap`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import RunOptions, parse, recipe_for
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.stages.export_colmap import export_colmap
from silk_sfm.store import FeatureStore, VerifiedStore


@dataclass(frozen=True)
class ExportColmap:
    """Features and verified matches to a COLMAP database.

    DATABASE gets cameras, rigs, images, keypoints in COLMAP's pixels, and per pair the matches and
    their E, F or H: COLMAP's mappers can start from it, its GUI shows it.
    """

    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store."""
    verified: Annotated[Positional[Path], arg(metavar="VERIFIED")]
    """Verified store, from `silk-sfm verify`."""
    database: Annotated[Positional[Path], arg(metavar="DATABASE")]
    """The database to write."""
    run: Annotated[RunOptions, arg(name="")]
    cameras: Annotated[CameraOptions, arg(name="")]
    images: Path | None = None
    """Folder of photos, for focal lengths from EXIF; without it, they are guessed from the size."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    missing = tyro.MISSING
    default = ExportColmap(missing, missing, missing, RunOptions(), recipe_for(argv).cameras)
    command = parse(ExportColmap, "export-colmap", argv, default)
    with FeatureStore(command.features) as features, VerifiedStore(command.verified) as verified:
        counts = export_colmap(
            features,
            verified,
            command.database,
            command.cameras,
            command.images,
            command.run.overwrite,
        )
    if not command.run.quiet:
        print(
            f"export-colmap: {counts.n_images} images, {counts.n_keypoints} keypoints, "
            f"{counts.n_pairs} pairs with {counts.n_inliers} inliers -> {command.database}"
        )
    return 0
