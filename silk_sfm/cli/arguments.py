"""Command lines from dataclasses: options of a recipe and of the chosen plug-ins become flags."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import tyro
from tyro.conf import arg

from silk_sfm.errors import ConfigError
from silk_sfm.stages.recipe import DEFAULT_RECIPE, Recipe, with_parts, with_plugin

Command = TypeVar("Command")
PLUGIN_TABLES = ("extractor", "matcher", "verifier")
PARTS = ("detector", "descriptor")
"""Short for the extractor: `--detector A --descriptor B` is `--extractor A+B`."""


@dataclass(frozen=True)
class OutputOptions:
    """What a command keeps and prints; every command has these."""

    overwrite: bool = False
    """Start anew: drop what the output holds."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
    verbose: Annotated[bool, arg(aliases=["-v"])] = False
    """Print what the libraries log, and where an error came from."""


@dataclass(frozen=True)
class RunOptions(OutputOptions):
    """How a command of one recipe runs."""

    config: str = DEFAULT_RECIPE
    """Recipe with the defaults of all options: a TOML file, or aliked, aliked_lightglue,
    colmap_sift, daisy, dedode, disk, disk_lightglue, imc2022, keynet, kp2d, msnet, orb, r2d2, sift,
    sift_lightglue, silk, silk_hpatches, silk_micro, silk_paper, silk_wide, superpoint, xfeat."""


@dataclass(frozen=True)
class DeviceOptions:
    """Where tensors are computed."""

    device: str = "auto"
    """auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1, mps."""


def recipe_for(argv: Sequence[str]) -> Recipe:
    """The recipe and the plug-ins that a command line names: they decide which flags it has."""
    words = [word for word in argv if word not in ("-h", "--help")]
    chosen, _ = _finder("config", *PLUGIN_TABLES, *PARTS).parse_known_args(words)
    recipe = Recipe.read(chosen.config or DEFAULT_RECIPE)
    for table in PLUGIN_TABLES:
        if getattr(chosen, table):
            recipe = with_plugin(recipe, table, getattr(chosen, table))
    if chosen.detector is None and chosen.descriptor is None:
        return recipe
    if chosen.extractor:
        raise ConfigError("Give --extractor, or --detector and --descriptor, not both.")
    return with_parts(recipe, chosen.detector, chosen.descriptor)


def option_of(argv: Sequence[str], flag: str) -> str | None:
    """The value of a flag that decides the defaults of others, before the others are known."""
    words = [word for word in argv if word not in ("-h", "--help")]
    value: str | None = getattr(_finder(flag).parse_known_args(words)[0], flag)
    return value


def _finder(*flags: str) -> argparse.ArgumentParser:
    """Finds these flags among others."""
    finder = argparse.ArgumentParser(
        "silk-sfm", argparse.SUPPRESS, add_help=False, allow_abbrev=False
    )
    for flag in flags:
        finder.add_argument(f"--{flag}")
    return finder


def _without_parts(argv: Sequence[str], default: object) -> list[str]:
    """The words that are left when the recipe has taken the parts of its extractor."""
    if not hasattr(default, "extractor"):
        return list(argv)
    return _finder(*PARTS).parse_known_args(argv)[1]


def parse(command: type[Command], name: str, argv: Sequence[str], default: Command) -> Command:
    """Parse a command line; `default` holds the recipe's values. Exits with 2 on wrong usage."""
    parsed: Any = tyro.cli(
        command,
        prog=f"silk-sfm {name}",
        args=_without_parts(argv, default),
        default=default,
        config=(tyro.conf.HelptextFromCommentsOff, tyro.conf.CascadeSubcommandArgs),
    )
    start_logging(parsed.run)
    return parsed  # type: ignore[no-any-return]


def start_logging(run: OutputOptions) -> None:
    """Send the library's log to stderr: warnings, or everything when verbose."""
    level = logging.DEBUG if run.verbose else logging.ERROR if run.quiet else logging.WARNING
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("PIL", "h5py", "filelock", "matplotlib"):
        logging.getLogger(noisy).setLevel(max(level, logging.INFO))
