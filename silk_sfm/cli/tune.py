"""`silk-sfm tune`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, RunOptions, parse, recipe_for
from silk_sfm.cli.main import DONE
from silk_sfm.cli.printing import tracker
from silk_sfm.evaluation.plots import check_plots
from silk_sfm.images import ImageFolder
from silk_sfm.stages.pair import PairOptions, make_pairs
from silk_sfm.stages.tune import Tuner
from silk_sfm.stages.tune_choices import TuneOptions
from silk_sfm.stages.tune_results import write_tuned


@dataclass(frozen=True)
class Tune:
    """Find the settings that suit your photos.

    Tries image sizes, numbers of keypoints, weights and thresholds on a sample of pairs, ranks them
    by inliers (at one common error, geometric mean over the pairs) or, with ground truth, by the
    AUC of the pose error, and writes the best as a recipe: `silk-sfm reconstruct PHOTOS OUT
    --config OUT/tuned.toml`. Says how long it will take before it starts. Run it again to go on
    after a stop.
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos."""
    out: Path
    """Folder for stores and results: tuned.toml, tuned.png, results in CSV, JSON and Markdown."""
    run: Annotated[RunOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    options: Annotated[TuneOptions, arg(name="")]
    pairs: Annotated[PairOptions, arg(name="")]
    truth: Path | None = None
    """A COLMAP model with true poses and intrinsics of the photos: choices are ranked by AUC."""
    estimate_only: bool = False
    """Say how long it will take, and stop."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    default = Tune(
        tyro.MISSING,
        tyro.MISSING,
        RunOptions(),
        DeviceOptions(),
        TuneOptions(),
        PairOptions(pairing="sequential", window=2),
    )
    command = parse(Tune, "tune", argv, default)
    check_plots()
    images = ImageFolder.open(command.images, leave_out=(command.out,))
    tuner = Tuner(
        images,
        make_pairs(images.names, command.pairs, image_dir=images.root),
        command.out,
        recipe_for(argv),
        command.options,
        command.truth,
        command.where.device,
        command.run.overwrite,
        tracker(command.run),
    )
    minutes = tuner.estimate_seconds() / 60
    print(f"tune: {tuner.plan()}, at most about {minutes:.1f} minutes", flush=True)
    if command.estimate_only:
        return DONE
    tuner.run()
    text, written = write_tuned(tuner)
    if not command.run.quiet:
        print(f"\n{text}\n\n{' '.join(map(str, written))}")
    return DONE
