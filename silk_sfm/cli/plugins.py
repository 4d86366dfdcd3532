"""`silk-sfm plugins`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

import tyro

from silk_sfm import plugins
from silk_sfm.errors import PluginError


@dataclass(frozen=True)
class Plugins:
    """List the installed extractors, matchers and verifiers.

    Each with what it does, its licence, paper, default weights and size of a descriptor. One that
    cannot be loaded is named with the reason; the others still work.
    """


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status: 3 when a plug-in is broken."""
    tyro.cli(Plugins, prog="silk-sfm plugins", args=argv)
    broken = 0
    for kind in plugins.KINDS:
        print(f"{kind}:")
        for name in plugins.names(kind):
            try:
                about = plugins.load(kind, name).about
            except PluginError as error:
                broken += 1
                print(f"  {name}: broken")
                print(f"silk-sfm plugins: error: {error}", file=sys.stderr)
                continue
            print(f"  {name}: {about.summary}")
            print(f"      licence: {about.licence}")
            if about.paper:
                print(f"      paper: {about.paper}")
            for line in _details(kind, plugins.load(kind, name)):
                print(f"      {line}")
    return 3 if broken else 0


def _details(kind: plugins.Kind, plugin: type[Any]) -> list[str]:
    """Lines about weights and descriptors."""
    options = plugin.Options()
    named = [field.name for field in fields(options) if "weights" in field.name]
    weights = ", ".join(getattr(options, name) for name in named if getattr(options, name))
    lines = [f"weights: {weights}"] if weights else []
    if kind != "extractors":
        return lines
    size = getattr(plugin, "descriptor_size", None)
    length = f"{size} numbers" if isinstance(size, int) else "size depends on the weights"
    others = "; also of keypoints of others" if hasattr(plugin, "describe") else ""
    return [*lines, f"descriptor: {length}{others}"]
