"""`silk-sfm report`, and the report at the end of other commands."""

from __future__ import annotations

import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import OutputOptions, start_logging
from silk_sfm.cli.main import DONE
from silk_sfm.cli.printing import tracker
from silk_sfm.errors import ConfigError
from silk_sfm.reporting.live import show_live
from silk_sfm.reporting.output import report_on, sources_of


@dataclass(frozen=True)
class Report:
    """One page about a reconstruction: numbers, images, matches, the model to turn.

    Writes OUT/report.html, one file that needs no network: seconds and memory of each stage, every
    image with its keypoints and why it is in the model or not, which images match which, the best
    and the weakest pairs, errors, track lengths and the model in 3D.
    """

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder that `silk-sfm reconstruct` wrote, or a COLMAP model."""
    images: Path | None = None
    """Folder of the photos; not set: the one that OUT/run.json names."""
    features: Path | None = None
    """Feature store; not set: OUT/features.h5."""
    verified: Path | None = None
    """Verified store; not set: OUT/verified.h5."""
    live: bool = False
    """Show the model in a browser with viser instead, until Ctrl-C (needs the extra `live`)."""
    port: int = 8080
    """Where --live listens on this machine."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
    verbose: Annotated[bool, arg(aliases=["-v"])] = False
    """Print what the libraries log, and where an error came from."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    command = tyro.cli(Report, prog="silk-sfm report", args=argv)
    shown = OutputOptions(quiet=command.quiet, verbose=command.verbose)
    start_logging(shown)
    sources = sources_of(command.out, command.images, command.features, command.verified)
    if command.live:
        if not sources.models:
            raise ConfigError(f"--live shows a model, and there is none in {command.out}.")
        with show_live(sources.models[0], sources.photos, command.port) as live:
            print(f"report: {live.url} shows the model until Ctrl-C")
            live.wait()
        return DONE
    report = report_on(command.out, sources, tracker(shown))
    if not command.quiet:
        print(report)
    return DONE


def add_report(out: Path, wanted: bool, run: OutputOptions) -> None:
    """Write OUT/report.html when `wanted`; an error is told and changes no exit status."""
    if not wanted:
        return
    try:
        report = report_on(out, sources_of(out), tracker(run))
    except Exception as error:  # whatever it is: the reconstruction has ended and stays what it is
        if run.verbose:
            traceback.print_exc()
        print(
            f"silk-sfm: no report.html: {str(error).rstrip('.') or type(error).__name__}. What was "
            f"finished is kept; try again: silk-sfm report {shlex.quote(str(out))}",
            file=sys.stderr,
        )
    else:
        if not run.quiet:
            print(report)
