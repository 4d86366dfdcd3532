"""`silk-sfm plugins`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tyro

from silk_sfm import plugins
from silk_sfm.configs import recipe_names
from silk_sfm.errors import PluginError
from silk_sfm.plugins import About


@dataclass(frozen=True)
class Plugins:
    """List the installed extractors, matchers and verifiers.

    Each with what it does, its licence, paper, weights and size of a descriptor, then the recipes.
    One that cannot be loaded is named with the reason; the others still work.
    """


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status: 3 when a plug-in is broken."""
    tyro.cli(Plugins, prog="silk-sfm plugins", args=argv)
    broken = sum([_show(kind) for kind in plugins.KINDS])
    print(f"recipes (--config NAME): {', '.join(recipe_names())}")
    return 3 if broken else 0


def _show(kind: plugins.Kind) -> int:
    """Print the plug-ins of one kind; returns how many are broken."""
    print(f"{kind}:")
    broken = 0
    for name in plugins.names(kind):
        try:
            print("\n      ".join(_lines(kind, name, plugins.load(kind, name))))
        except PluginError as error:
            broken += 1
            print(f"  {name}: broken")
            print(f"silk-sfm plugins: error: {error}", file=sys.stderr)
    return broken


def _lines(kind: plugins.Kind, name: str, plugin: type[Any]) -> Iterator[str]:
    about: About = plugin.about
    yield f"  {name}: {about.summary}"
    yield f"licence: {about.licence}"
    if about.paper:
        yield f"paper: {about.paper}"
    yield f"weights: {about.weights}"
    if kind == "extractors":
        yield f"descriptor: {_descriptor(plugin)}"


def _descriptor(plugin: type[Any]) -> str:
    size = getattr(plugin, "descriptor_size", None)
    about: About = plugin.about
    length = f"{size} numbers" if isinstance(size, int) else about.descriptor or "of any size"
    others = "; also at keypoints of others" if hasattr(plugin, "describe") else ""
    return f"{length}{others}"
