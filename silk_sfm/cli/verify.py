"""`silk-sfm verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import RunOptions, parse, recipe_for
from silk_sfm.cli.scaling import ON_THIS_MACHINE, ScalingOptions, run_plan
from silk_sfm.scaling.verification import VerificationPlan
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.origin import check_output
from silk_sfm.stages.verify import VerificationOptions

Options = TypeVar("Options")


@dataclass(frozen=True)
class Verify(Generic[Options]):
    """Keep the matches that a two-view geometry explains.

    VERIFIED has the layout of a match store with inliers only, and for each pair the kind of
    geometry and its matrix: essential with known intrinsics, else fundamental.
    """

    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store."""
    matches: Annotated[Positional[Path], arg(metavar="MATCHES")]
    """Match store, from `silk-sfm match` or from hloc."""
    verified: Annotated[Positional[Path], arg(metavar="VERIFIED")]
    """The verified store to write."""
    verifier: str
    """A name from `silk-sfm plugins`, or module:Class. Its own options are listed here too."""
    run: Annotated[RunOptions, arg(name="")]
    verification: Annotated[VerificationOptions, arg(name="")]
    options: Annotated[Options, arg(name="")]
    intrinsics: Path | None = None
    """Known intrinsics: a COLMAP model folder, cameras.txt or cameras.bin. Photos are found by name
    when the folder names them, else by size."""
    scaling: Annotated[ScalingOptions, arg(name="")] = ON_THIS_MACHINE


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    recipe = recipe_for(argv)
    chosen = recipe.verifier
    missing = tyro.MISSING
    default = Verify[Any](
        missing,
        missing,
        missing,
        chosen.name,
        RunOptions(),
        recipe.verification,
        chosen.options,
        recipe.cameras.intrinsics,
    )
    command = parse(Verify[type(chosen.options)], "verify", argv, default)  # type: ignore[arg-type, misc]
    chosen = Chosen(command.verifier, command.options)
    check_output(command.verified, command.features, command.matches)
    plan = VerificationPlan(
        command.features,
        command.matches,
        chosen,
        command.verification,
        command.intrinsics,
        command.verified,
    )
    return run_plan(plan, command.scaling, command.run, command.verified)
