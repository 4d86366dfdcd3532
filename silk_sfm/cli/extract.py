"""`silk-sfm extract`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, RunOptions, parse, recipe_for
from silk_sfm.cli.scaling import ON_THIS_MACHINE, ScalingOptions, run_plan
from silk_sfm.images import ImageFolder
from silk_sfm.scaling.extraction import ExtractionPlan
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.extract import ExtractionOptions

Options = TypeVar("Options")


@dataclass(frozen=True)
class Extract(Generic[Options]):
    """Find and describe keypoints in every image of a folder.

    FEATURES is an HDF5 file in hloc's layout: a group per image with keypoints (pixels of the file,
    centre of the top-left one at 0, 0), descriptors (D, N), scores and image_size. Run the command
    again to go on after a stop, or to add new photos: what is there is kept.
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos (JPEG, PNG, TIFF, PPM, WebP), subfolders too."""
    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """The feature store to write."""
    extractor: str
    """A name from `silk-sfm plugins`, or module:Class. Its own options are listed here too.
    DETECTOR+DESCRIPTOR takes keypoints of one and descriptors of another; so do `--detector` and
    `--descriptor`."""
    run: Annotated[RunOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    extraction: Annotated[ExtractionOptions, arg(name="")]
    options: Annotated[Options, arg(name="")]
    scaling: Annotated[ScalingOptions, arg(name="")] = ON_THIS_MACHINE


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    recipe = recipe_for(argv)
    default = Extract[Any](
        images=tyro.MISSING,
        features=tyro.MISSING,
        extractor=recipe.extractor.name,
        run=RunOptions(),
        where=DeviceOptions(),
        extraction=recipe.extraction,
        options=recipe.extractor.options,
    )
    command = parse(Extract[type(recipe.extractor.options)], "extract", argv, default)  # type: ignore[arg-type, misc]
    images = ImageFolder.open(command.images, leave_out=(command.extraction.masks,))
    chosen = Chosen(command.extractor, command.options)
    device = command.where.device
    plan = ExtractionPlan(images, chosen, command.extraction, device, command.features)
    return run_plan(plan, command.scaling, command.run, command.features)
