"""`silk-sfm import-colmap`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import OutputOptions, parse
from silk_sfm.stages.import_colmap import ImportOptions, import_colmap


@dataclass(frozen=True)
class ImportColmap:
    """Images, cameras and pairs of an existing COLMAP database or model.

    OUT gets image_list.txt, pairs.txt (for `--pairing file --pair-file OUT/pairs.txt`), cameras.txt
    and the cameras as a binary model without points (for `--intrinsics OUT`).
    """

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """A database, or the folder of a model (binary or text)."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write."""
    run: Annotated[OutputOptions, arg(name="")]
    options: Annotated[ImportOptions, arg(name="")]


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    default = ImportColmap(tyro.MISSING, tyro.MISSING, OutputOptions(), ImportOptions())
    command = parse(ImportColmap, "import-colmap", argv, default)
    report = import_colmap(command.source, command.out, command.options, command.run.overwrite)
    if not command.run.quiet:
        print(f"{report} -> {command.out}")
    return 0
