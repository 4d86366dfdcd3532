"""`silk-sfm plugins`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import tyro

from silk_sfm import plugins
from silk_sfm.errors import PluginError


@dataclass(frozen=True)
class Plugins:
    """List the installed extractors, matchers and verifiers.

    Each with what it does, its licence and its paper. One that cannot be loaded is named with the
    reason; the others still work.
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
    return 3 if broken else 0
