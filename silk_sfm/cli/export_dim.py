"""`silk-sfm export-dim`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import OutputOptions, parse
from silk_sfm.stages.convert_dim import export_dim
from silk_sfm.store import FeatureStore, MatchStore


@dataclass(frozen=True)
class ExportDim:
    """Features and matches to the files of deep-image-matching.

    OUT gets features.h5 and matches.h5 as its pipeline reads them, in float32. It knows images by
    their file names alone: two with the same one are refused.
    """

    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store."""
    matches: Annotated[Positional[Path], arg(metavar="MATCHES")]
    """Match store, or a verified one: then the inliers are written."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write."""
    run: Annotated[OutputOptions, arg(name="")]


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    missing = tyro.MISSING
    command = parse(
        ExportDim, "export-dim", argv, ExportDim(missing, missing, missing, OutputOptions())
    )
    with FeatureStore(command.features) as features, MatchStore(command.matches) as matches:
        converted = export_dim(features, matches, command.out, command.run.overwrite)
    if not command.run.quiet:
        print(f"export-dim: {converted} -> {command.out}")
    return 0
