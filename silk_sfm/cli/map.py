"""`silk-sfm map`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import RunOptions, parse, recipe_for
from silk_sfm.cli.printing import registered_counter
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.colmap.mapping import MappingOptions
from silk_sfm.images import ImageFolder
from silk_sfm.stages.build import build_model, undistort_model, write_summary
from silk_sfm.stages.reconstruct import Workspace
from silk_sfm.stages.report import Costs
from silk_sfm.store import FeatureStore, VerifiedStore


@dataclass(frozen=True)
class Map:
    """Verified matches to a COLMAP model.

    Writes OUT/database.db, OUT/sparse/0 (COLMAP, binary), OUT/points.ply and OUT/summary.json.
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos, for EXIF and colours."""
    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store."""
    verified: Annotated[Positional[Path], arg(metavar="VERIFIED")]
    """Verified store, from `silk-sfm verify`."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write."""
    run: Annotated[RunOptions, arg(name="")]
    cameras: Annotated[CameraOptions, arg(name="")]
    mapping: Annotated[MappingOptions, arg(name="")]
    undistort: bool = False
    """Also write OUT/undistorted: photos without distortion, as splat trainers read them."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    recipe, missing = recipe_for(argv), tyro.MISSING
    default = Map(missing, missing, missing, missing, RunOptions(), recipe.cameras, recipe.mapping)
    command = parse(Map, "map", argv, default)
    images, costs = ImageFolder.open(command.images), Costs()
    Workspace(command.out).make()
    with (
        FeatureStore(command.features) as features,
        VerifiedStore(command.verified) as verified,
        registered_counter(command.run, len(features)) as on_image,
        costs.measured("map"),
    ):
        report = build_model(
            images,
            features,
            verified,
            command.out,
            command.cameras,
            command.mapping,
            command.run.overwrite,
            on_image,
        )
    write_summary(command.out, report, {"stages": costs.stages})
    if command.undistort:
        undistort_model(images, command.out)
    if not command.run.quiet:
        print(f"{report} -> {command.out / 'sparse' / '0'}")
    return 0
