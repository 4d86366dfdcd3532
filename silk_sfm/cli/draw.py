"""`silk-sfm draw`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional, arg, subcommand

from silk_sfm.cli.arguments import OutputOptions, start_logging
from silk_sfm.cli.main import DONE
from silk_sfm.drawing import write_image
from silk_sfm.errors import ImageError
from silk_sfm.images import ImageFolder
from silk_sfm.stages.draw import (
    KeypointDrawing,
    MatchDrawing,
    ModelDrawing,
    picture_of_keypoints,
    picture_of_matches,
    picture_of_model,
)
from silk_sfm.stages.origin import check_output
from silk_sfm.store import FeatureStore


@dataclass(frozen=True)
class Keypoints:
    """A photo with its keypoints, coloured by their scores.

    The photo is shown upright.
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos."""
    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store."""
    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Which photo: its name relative to IMAGES."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The picture to write, .png or .jpg."""
    run: Annotated[OutputOptions, arg(name="")] = field(default_factory=OutputOptions)
    options: Annotated[KeypointDrawing, arg(name="")] = field(default_factory=KeypointDrawing)

    def draw(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB."""
        images = ImageFolder.open(self.images)
        check_output(self.out, images.path(self.name))
        with FeatureStore(self.features) as features:
            return picture_of_keypoints(images, features, self.name, self.options)


@dataclass(frozen=True)
class Matches:
    """Two photos side by side with lines between their matches.

    Lines go from violet (lowest score) to yellow (highest).
    """

    images: Annotated[Positional[Path], arg(metavar="IMAGES")]
    """Folder of photos."""
    features: Annotated[Positional[Path], arg(metavar="FEATURES")]
    """Feature store."""
    matches: Annotated[Positional[Path], arg(metavar="MATCHES")]
    """Match store, or verified store."""
    first: Annotated[Positional[str], arg(metavar="A")]
    """The photo on the left: its name relative to IMAGES."""
    second: Annotated[Positional[str], arg(metavar="B")]
    """The photo on the right."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The picture to write, .png or .jpg."""
    run: Annotated[OutputOptions, arg(name="")] = field(default_factory=OutputOptions)
    options: Annotated[MatchDrawing, arg(name="")] = field(default_factory=MatchDrawing)

    def draw(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB."""
        images, pair = ImageFolder.open(self.images), (self.first, self.second)
        check_output(self.out, *map(images.path, pair))
        with FeatureStore(self.features) as features:
            return picture_of_matches(images, features, self.matches, pair, self.options)


@dataclass(frozen=True)
class Model:
    """The points and cameras of a COLMAP model."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """Folder of the model, OUT/sparse/0 say."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The picture to write, .png or .jpg."""
    run: Annotated[OutputOptions, arg(name="")] = field(default_factory=OutputOptions)
    options: Annotated[ModelDrawing, arg(name="")] = field(default_factory=ModelDrawing)

    def draw(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB."""
        return picture_of_model(self.model, self.options)


@dataclass(frozen=True)
class Draw:
    """One picture: the keypoints of a photo, the matches of a pair, or a model.

    PICTURE is keypoints, matches or model; `silk-sfm draw model --help` explains its options.
    """

    picture: (
        Annotated[Keypoints, subcommand("keypoints")]
        | Annotated[Matches, subcommand("matches")]
        | Annotated[Model, subcommand("model")]
    )
    """What is drawn."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    short = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
    command = tyro.cli(Draw, prog="silk-sfm draw", args=argv, config=short)
    picture = command.picture
    start_logging(picture.run)
    if picture.out.exists() and not picture.run.overwrite:
        raise ImageError(f"There is a {picture.out} already. Add --overwrite to replace it.")
    drawn = picture.draw()
    write_image(picture.out, drawn)
    if not picture.run.quiet:
        print(f"draw: {drawn.shape[1]} x {drawn.shape[0]} pixels -> {picture.out}")
    return DONE
