"""`silk-sfm pairs`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import RunOptions, parse, recipe_for
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.stages.pair import PairOptions, make_pairs
from silk_sfm.store import FeatureStore


@dataclass(frozen=True)
class Pairs:
    """Choose which images are matched with which.

    PAIRS is a text file with two names a line as in hloc; a tab separates names with spaces.
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos, or a feature store (then images without features are left out)."""
    pairs: Annotated[Positional[Path], arg(metavar="PAIRS")]
    """The list to write."""
    run: Annotated[RunOptions, arg(name="")]
    options: Annotated[PairOptions, arg(name="")]


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    default = Pairs(tyro.MISSING, tyro.MISSING, RunOptions(), recipe_for(argv).pairs)
    command = parse(Pairs, "pairs", argv, default)
    if command.pairs.is_file() and not command.run.overwrite:
        PairList.read(command.pairs)  # raises when it is something else, to be kept
    n_images, pairs = _paired(command.images, command.options)
    pairs.write(command.pairs)
    if not command.run.quiet:
        print(f"pairs: {len(pairs)} pairs of {n_images} images -> {command.pairs}")
    return 0


def _paired(source: Path, options: PairOptions) -> tuple[int, PairList]:
    """How many images there are, and their pairs."""
    if source.is_dir():
        names = ImageFolder.open(source).names
        return len(names), make_pairs(names, options)
    with FeatureStore(source) as features:
        return len(features), make_pairs(features.names, options, features)
