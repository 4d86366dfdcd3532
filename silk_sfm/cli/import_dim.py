"""`silk-sfm import-dim`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import OutputOptions, parse
from silk_sfm.stages.convert_dim import import_dim


@dataclass(frozen=True)
class ImportDim:
    """Features and matches from the files of deep-image-matching.

    Verify and map them like any others. Images must lie in one folder: their names are file names.
    """

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """Folder with features.h5 and matches.h5."""
    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """The feature store to write."""
    matches: Annotated[Positional[Path], arg(metavar="MATCHES")]
    """The match store to write."""
    run: Annotated[OutputOptions, arg(name="")]


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    missing = tyro.MISSING
    command = parse(
        ImportDim, "import-dim", argv, ImportDim(missing, missing, missing, OutputOptions())
    )
    overwrite = command.run.overwrite
    converted = import_dim(command.source, command.features, command.matches, overwrite)
    if not command.run.quiet:
        print(f"import-dim: {converted} -> {command.features}, {command.matches}")
    return 0
