"""`silk-sfm match`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, RunOptions, parse, recipe_for
from silk_sfm.cli.scaling import ON_THIS_MACHINE, ScalingOptions, run_plan
from silk_sfm.scaling.matching import MatchingPlan
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.match import MatchingOptions
from silk_sfm.stages.origin import check_output

Options = TypeVar("Options")


@dataclass(frozen=True)
class Match(Generic[Options]):
    """Match the features of every pair.

    MATCHES is an HDF5 file in hloc's layout: a group per pair with matches0 (index in the second
    image, or -1) and matching_scores0. The N x N similarity matrix is never held in memory.
    """

    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store, from `silk-sfm extract` or from hloc."""
    pairs: Annotated[Positional[Path], arg(metavar="PAIRS")]
    """Pair list, from `silk-sfm pairs` or from hloc."""
    matches: Annotated[Positional[Path], arg(metavar="MATCHES")]
    """The match store to write."""
    matcher: str
    """A name from `silk-sfm plugins`, or module:Class. Its own options are listed here too."""
    run: Annotated[RunOptions, arg(name="")]
    where: Annotated[DeviceOptions, arg(name="")]
    matching: Annotated[MatchingOptions, arg(name="")]
    options: Annotated[Options, arg(name="")]
    scaling: Annotated[ScalingOptions, arg(name="")] = ON_THIS_MACHINE


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    recipe = recipe_for(argv)
    chosen, missing = recipe.matcher, tyro.MISSING
    default = Match[Any](
        missing,
        missing,
        missing,
        chosen.name,
        RunOptions(),
        DeviceOptions(),
        recipe.matching,
        chosen.options,
    )
    command = parse(Match[type(chosen.options)], "match", argv, default)  # type: ignore[arg-type, misc]
    chosen = Chosen(command.matcher, command.options)
    check_output(command.matches, command.features, command.pairs)
    plan = MatchingPlan(
        command.features,
        command.pairs,
        chosen,
        command.matching,
        command.where.device,
        command.matches,
    )
    return run_plan(plan, command.scaling, command.run, command.matches)
