"""`silk-sfm show`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from silk_sfm.stages.describe import describe


@dataclass(frozen=True)
class Show:
    """Say what is in a store, a model, a weights file or an image folder."""

    path: Annotated[Positional[Path], arg(metavar="PATH")]
    """A feature, match or verified store (.h5), a COLMAP model folder, a .safetensors or .ckpt
    file, or a folder of photos."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    command = tyro.cli(Show, prog="silk-sfm show", args=argv)
    print("\n".join(describe(command.path)))
    return 0
