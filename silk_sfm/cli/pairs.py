"""`silk-sfm pairs`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import RunOptions, parse, recipe_for
from silk_sfm.cli.printing import list_skipped
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import check_is_list
from silk_sfm.stages.origin import check_output
from silk_sfm.stages.pair import ImageSource, PairOptions, write_pairs
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
    photos: Path | None = None
    """spatial: folder of the photos, for GPS in their EXIF, where it is not IMAGES."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    default = Pairs(tyro.MISSING, tyro.MISSING, RunOptions(), recipe_for(argv).pairs)
    command = parse(Pairs, "pairs", argv, default)
    read = (command.images, command.options.positions, command.options.global_descriptors)
    check_output(command.pairs, *filter(None, read))
    if command.pairs.is_file() and not command.run.overwrite:
        check_is_list(command.pairs)
    with _source(command.images, command.photos) as source:
        written = write_pairs(command.pairs, source, command.options)
    if not command.run.quiet:
        n_images = len(source.names)
        print(f"pairs: {written.n_pairs} pairs of {n_images} images -> {command.pairs}")
    return list_skipped(written.skipped)


@contextmanager
def _source(images: Path, photos: Path | None) -> Iterator[ImageSource]:
    """What a folder of photos, or a feature store, tells of the images."""
    if images.is_dir():
        yield ImageSource(ImageFolder.open(images).names, None, photos or images)
        return
    with FeatureStore(images) as features:
        yield ImageSource(features.names, features, photos)
