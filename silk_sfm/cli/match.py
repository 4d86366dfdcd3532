"""`silk-sfm match`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.conf import Positional, arg

from silk_sfm.cli.arguments import DeviceOptions, RunOptions, parse, recipe_for
from silk_sfm.cli.printing import conclude, tracker
from silk_sfm.pairs import PairList
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.match import MatchingOptions, match, matching_provenance
from silk_sfm.stages.origin import check_output
from silk_sfm.store import FeatureStore, MatchWriter

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
    matcher = chosen.make("matchers", command.where.device)
    with FeatureStore(command.features) as features:
        pairs = PairList.read(command.pairs, known=frozenset(features.names))
        made = matching_provenance(chosen, features)
        with MatchWriter(command.matches, made, command.run.overwrite) as store:
            track = tracker(command.run)
            report = match(pairs, features, matcher, store, track, command.matching)
    return conclude(report, command.run, command.matches)
