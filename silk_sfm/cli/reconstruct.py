"""`silk-sfm reconstruct`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, RunOptions, parse, recipe_for
from silk_sfm.cli.printing import conclude_model, conclude_stages, registered_counter, tracker
from silk_sfm.cli.report import add_report
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.colmap.mapping import MappingOptions
from silk_sfm.errors import ReconstructionError, SilkSfmError
from silk_sfm.images import ImageFolder
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.extract import ExtractionOptions
from silk_sfm.stages.match import MatchingOptions
from silk_sfm.stages.pair import PairOptions
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.reconstruct import Reconstruction
from silk_sfm.stages.verify import VerificationOptions

E = TypeVar("E")
M = TypeVar("M")
V = TypeVar("V")


@dataclass(frozen=True)
class Reconstruct(Generic[E, M, V]):
    """A folder of photos to a COLMAP model: all stages, one after the other.

    Writes into OUT: features.h5, pairs.txt, matches.h5, verified.h5, database.db, sparse/0
    (COLMAP, binary), points.ply, summary.json, run.json and report.html. Run it again to go on
    after a stop or to add photos: what is done is reused.
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos (JPEG, PNG, TIFF, PPM, WebP), subfolders too."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write."""
    extractor: str
    """A name from `silk-sfm plugins`, or module:Class; options: --extractor.* DETECTOR+DESCRIPTOR
    takes keypoints of one and descriptors of another; so do `--detector` and `--descriptor`."""
    matcher: str
    """A name from `silk-sfm plugins`, or module:Class; options: --matcher.*"""
    verifier: str
    """A name from `silk-sfm plugins`, or module:Class; options: --verifier.*"""
    run: Annotated[RunOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    extraction: Annotated[ExtractionOptions, arg(name="")]
    pairs: Annotated[PairOptions, arg(name="")]
    cameras: Annotated[CameraOptions, arg(name="")]
    extractor_options: Annotated[E, arg(name="extractor")]
    matcher_options: Annotated[M, arg(name="matcher")]
    verifier_options: Annotated[V, arg(name="verifier")]
    matching: MatchingOptions
    verification: VerificationOptions
    mapping: MappingOptions
    undistort: bool = False
    """Also write OUT/undistorted: photos without distortion, as splat trainers read them."""
    report: bool = True
    """Also write OUT/report.html, one page about everything."""

    def recipe(self) -> Recipe:
        """The choices of this command line."""
        return Recipe(
            extraction=self.extraction,
            extractor=Chosen(self.extractor, self.extractor_options),
            pairs=self.pairs,
            matcher=Chosen(self.matcher, self.matcher_options),
            matching=self.matching,
            verification=self.verification,
            verifier=Chosen(self.verifier, self.verifier_options),
            cameras=self.cameras,
            mapping=self.mapping,
        )


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    recipe = recipe_for(argv)
    chosen = (recipe.extractor, recipe.matcher, recipe.verifier)
    generic: Any = Reconstruct
    kind = generic[tuple(type(plugin.options) for plugin in chosen)]
    command = parse(kind, "reconstruct", argv, _default(recipe))
    ours = (command.out, command.out / "undistorted", command.extraction.masks)
    images = ImageFolder.open(command.images, leave_out=ours)
    with registered_counter(command.run, len(images.names)) as on_image:
        job = Reconstruction(
            images,
            command.out,
            command.recipe(),
            command.where.device,
            command.run.overwrite,
            tracker(command.run),
            on_image,
            command=shlex.join(["silk-sfm", "reconstruct", *argv]),
        )
        try:
            report = job.run(command.undistort)
        except SilkSfmError as error:
            conclude_stages(job, command.run)
            if isinstance(error, ReconstructionError):  # the page shows which images starved
                add_report(command.out, command.report, command.run)
            raise
    status = conclude_model(report, job, command.run)
    add_report(command.out, command.report, command.run)
    return status


def _default(recipe: Recipe) -> Reconstruct[Any, Any, Any]:
    return Reconstruct(
        images=tyro.MISSING,
        out=tyro.MISSING,
        extractor=recipe.extractor.name,
        matcher=recipe.matcher.name,
        verifier=recipe.verifier.name,
        run=RunOptions(),
        where=DeviceOptions(),
        extraction=recipe.extraction,
        pairs=recipe.pairs,
        cameras=recipe.cameras,
        extractor_options=recipe.extractor.options,
        matcher_options=recipe.matcher.options,
        verifier_options=recipe.verifier.options,
        matching=recipe.matching,
        verification=recipe.verification,
        mapping=recipe.mapping,
    )
