"""What an evaluation consists of: jobs to export, predictions to score, rows of a table.

A protocol says which images and pairs a method is given (`Job`); the stages export its features and
matches to ordinary stores (`Predictions`); the protocol turns those into `Row`s. It never runs a
plug-in itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.store import FeatureStore, MatchStore

Goal = Literal["features", "matches", "model"]
"""What is exported for a job: features alone; matches too; or a whole reconstruction per seed."""


@dataclass(frozen=True, eq=False)
class Job:
    """One list of work that a method exports; a protocol may have several.

    name: part of the output path and of the table, such as `320x240`
    images: what is extracted, as it is: protocols that want other sizes write resized copies
    pairs: what is matched
    goal: how far the method runs
    n_keypoints: matches are made between the best so many keypoints of each image; None keeps all
    keypoints: (N, 2) float32 pixels by image name; then nothing is detected, the method describes
        these points
    intrinsics: a COLMAP model or camera file, for `model`
    """

    name: str
    images: ImageFolder
    pairs: PairList
    goal: Goal = "matches"
    n_keypoints: int | None = None
    keypoints: Mapping[str, np.ndarray] | None = None
    intrinsics: Path | None = None


@dataclass(frozen=True)
class Predictions:
    """What one method exported for one job.

    method: its name in the table
    folder: holds `features.h5` and `matches.h5`; with the goal `model` a folder `seed_0`, `seed_1`,
        ... per seed, each a whole reconstruction
    """

    method: str
    folder: Path

    @property
    def features(self) -> Path:
        """The feature store."""
        return self.folder / "features.h5"

    @property
    def matches(self) -> Path:
        """The match store."""
        return self.folder / "matches.h5"

    def model(self, seed: int) -> Path:
        """The reconstruction of one seed."""
        return self.folder / f"seed_{seed}"

    def features_of(self, name: str) -> LocalFeatures:
        """The features of an image; protocols that read many open the store themselves."""
        with FeatureStore(self.features) as store:
            return store[name]

    def matches_of(self, a: str, b: str) -> Matches:
        """The matches of a pair; protocols that read many open the store themselves."""
        with MatchStore(self.matches) as store:
            return store[a, b]


@dataclass(frozen=True)
class Row:
    """One row of a table: which method, how it was measured, what came out.

    job: name of the job; subset: `overall`, `viewpoint`, a scene, ...
    estimator, threshold: what robust estimation was used and its inlier threshold with unit, such
        as `3 px`; `-` without one
    image_size: as the method got them, such as `480x640`
    keypoints: mean number in an image
    metrics: by name, in the order of the table; NaN where undefined
    repeats: over how many seeds the metrics are medians
    """

    method: str
    job: str
    subset: str
    estimator: str
    threshold: str
    image_size: str
    keypoints: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Rows of several seeds that share it are one row of medians."""
        return self.method, self.job, self.subset, self.estimator, self.threshold


class EvaluationProtocol(Protocol):
    """One protocol; made by `Class(data, out, options)`, which reads and checks the data set.

    `out` is where resized copies may be written, in a folder `images_<job>`. Two methods more are
    called where a protocol has them: `export(job, predictions, out)` writes files of its own once
    the stores are there and returns their paths; `given()` returns rows of results that the user
    handed over.
    """

    Options: ClassVar[type[Any]]
    """A frozen dataclass; its fields become flags of `silk-sfm evaluate NAME`."""
    title: str
    """Heads the table: what is measured, on what."""
    published: str
    """Which published rows stand below the table, by their key in `published.PUBLISHED`; or none.
    """

    @property
    def seeded(self) -> bool:
        """Does a seed change anything? Without, one run is enough."""

    def jobs(self) -> list[Job]:
        """What each method exports."""

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """The rows of one method and one seed."""


PROTOCOLS: Mapping[str, str] = {
    "hpatches": "hpatches:HPatches",
    "homography": "homography_pairs:HomographyPairs",
    "pose": "pose:PosePairs",
    "registration": "registration:Registration",
    "sfm": "sfm:StructureFromMotion",
    "imc2022": "imc2022:Imc2022",
    "phototourism": "phototourism:Phototourism",
}
"""`module:Class` below `silk_sfm.evaluation` by the name on the command line; loaded when used."""


def load_protocol(name: str) -> type[Any]:
    """The class of a protocol. Raises ConfigError when there is none of this name."""
    if name not in PROTOCOLS:
        raise ConfigError(f"No protocol `{name}`. Known: {', '.join(PROTOCOLS)}.")
    module, _, class_name = PROTOCOLS[name].partition(":")
    return cast("type[Any]", getattr(import_module(f"silk_sfm.evaluation.{module}"), class_name))
