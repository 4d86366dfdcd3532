"""`silk-sfm demo`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, RunOptions, parse, recipe_for
from silk_sfm.cli.printing import conclude_model, registered_counter, tracker
from silk_sfm.cli.report import add_report
from silk_sfm.stages.demo import N_VIEWS, demo


@dataclass(frozen=True)
class Demo:
    """Reconstruct a made-up scene with known cameras and measure the errors.

    Renders the photos of a small village, runs all stages on them with the weights in the package,
    compares the model with the cameras that took the photos, and draws matches and model.
    """

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write."""
    run: Annotated[RunOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    report: bool = True
    """Also write OUT/report.html, one page about everything."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    default = Demo(Path("demo_out"), RunOptions(), DeviceOptions())
    command = parse(Demo, "demo", argv, default)
    with registered_counter(command.run, N_VIEWS) as on_image:
        report = demo(
            command.out,
            recipe_for(argv),
            command.where.device,
            command.run.overwrite,
            tracker(command.run),
            on_image,
            shlex.join(["silk-sfm", "demo", *argv]),
        )
    status = conclude_model(report.model, report.job, command.run)
    if not command.run.quiet:
        print(report.errors)
        print(f"model  {command.out}/sparse/0, points {command.out}/points.ply")
        print(f"pictures  {', '.join(map(str, report.pictures))}")
    add_report(command.out, command.report, command.run)
    return status
