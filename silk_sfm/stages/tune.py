"""A sweep over a recipe's main choices on a sample of someone's own photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from silk_sfm.colmap.model import read_model
from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.images import ImageFolder, image_size
from silk_sfm.pairs import PairList
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import Track, silent
from silk_sfm.stages.tune_choices import (
    Choice,
    TuneOptions,
    grid,
    matcher_choices,
    useful_sizes,
    verifier_choices,
)
from silk_sfm.stages.tune_scores import Scorer, Tried
from silk_sfm.stages.tune_stores import Sample, Stores

Pair = tuple[str, str]
LATER_GROUPS = (matcher_choices, verifier_choices)


@dataclass
class Tuner:
    """Tries choices one group after the other; `groups` fills up.

    First every image size with every number of keypoints and all weights, at the recipe's
    thresholds; then, at the best of those, thresholds of the matcher; then RANSAC thresholds. Each
    later group begins with the best choice before it.
    """

    images: ImageFolder
    pairs: PairList
    out: Path
    base: Recipe
    options: TuneOptions = field(default_factory=TuneOptions)
    truth: Path | None = None
    device: str = "auto"
    overwrite: bool = False
    track: Track = silent
    groups: list[list[Tried]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises DatasetError when no pair of the sample has ground truth, ConfigError for a value
        that the plug-ins refuse, and for photos seen at other scales than 1.
        """
        if self.base.extraction.has_scales:
            raise ConfigError(
                "Numbers of keypoints are tuned at scale 1. Leave out --scales (--config silk "
                "instead of silk_wide), and add it to the recipe afterwards."
            )
        self._model = None if self.truth is None else read_model(self.truth)
        self.sample = Sample(self.images, spread(self._known_pairs(), self.options.n_pairs))
        longest = max(max(image_size(self.images.path(name))) for name in self.sample.names)
        sizes = useful_sizes(self.options.max_sizes, longest)
        self.options = replace(self.options, max_sizes=sizes)
        for choice in (*self._grid(), *self._later()):
            choice.recipe(self.base)
        self._scorer = Scorer(self.sample, self.options, self._model)
        self._stores = Stores(
            self.sample,
            self.out,
            self.base,
            max((choice.top_k or 0 for choice in self._grid()), default=0) or None,
            self.truth,
            self.device,
            self.overwrite,
            self.track,
        )

    def estimate_seconds(self) -> float:
        """How long `run` will take at most, from one image and one pair of each image size.

        The features of the measured images are kept. What an earlier run has left of the first
        group costs nothing.
        """
        total, slowest = 0.0, 0.0
        for choices in self._by_view():
            largest = choices[-1]
            per_image, n_images = self._measured_extraction(largest)
            per_pair = self._measured_matching(largest)
            n_pairs = sum(
                self._share(choice, largest) * len(self._stores.pairs_todo(choice))
                for choice in choices
            )
            total += per_image * n_images + per_pair * n_pairs
            slowest = max(slowest, per_pair)
        return total + slowest * len(self._later()) * len(self.sample.pairs)

    def run(self) -> Tried:
        """Try everything; returns the best."""
        self.groups.append([])
        for choices in self._by_view():
            self._stores.extract(choices[-1])
            self.groups[0] += [self._try(choice) for choice in choices]
        for more in LATER_GROUPS:
            best = self.best
            choices = more(best.choice, self.base, self.options)
            self.groups.append([best, *(self._try(choice) for choice in choices)])
        return self.best

    def plan(self) -> str:
        """The size of the sample and of the grid, in words."""
        sizes = ", ".join(str(size) for size in sorted(set(self.options.max_sizes)))
        return f"{len(self.sample.pairs)} pairs of {len(self.sample.names)} photos at {sizes} px"

    @property
    def score_name(self) -> str:
        """What choices are ranked by."""
        return "inliers" if self._model is None else f"AUC@{self.options.auc_degrees:g}"

    @property
    def tried(self) -> list[Tried]:
        """Every choice that was tried, once."""
        return list({each.choice: each for group in self.groups for each in group}.values())

    @property
    def best(self) -> Tried:
        """The choice of the highest score so far; the first one among equals."""
        return max(self.tried, key=lambda each: each.score)

    def _grid(self) -> list[Choice]:
        return grid(self.base, self.options)

    def _later(self) -> list[Choice]:
        """What the later groups try, as if the first of the grid were the best."""
        first = self._grid()[0]
        return [each for more in LATER_GROUPS for each in more(first, self.base, self.options)]

    def _by_view(self) -> list[list[Choice]]:
        """The grid, in groups that share image size and weights; fewest keypoints first."""
        views: dict[str, list[Choice]] = {}
        for choice in self._grid():
            views.setdefault(choice.view, []).append(choice)
        return list(views.values())

    def _known_pairs(self) -> list[Pair]:
        if self._model is None:
            return list(self.pairs)
        posed = set(self._model.names)
        known = [pair for pair in self.pairs if posed.issuperset(pair)]
        if not known:
            raise DatasetError(
                f"No pair of images has a pose in {self.truth}: it knows "
                f"{', '.join(sorted(posed)[:3])}, ... Give the model of these photos."
            )
        return known

    def _measured_extraction(self, choice: Choice) -> tuple[float, int]:
        """Seconds per image, and how many images are left after the measurement."""
        todo = self._stores.images_todo(choice)
        if not todo:
            return 0.0, 0
        return seconds_of(partial(self._stores.extract, choice, todo[:1])), len(todo) - 1

    def _measured_matching(self, choice: Choice) -> float:
        """Seconds to match and verify the first pair."""
        self._stores.extract(choice, list(self.sample.pairs[0]))
        return seconds_of(partial(self._stores.try_pair, choice))

    def _share(self, choice: Choice, largest: Choice) -> float:
        """Cost of a pair relative to that with most keypoints: it grows with their square."""
        if choice.top_k is None or largest.top_k is None:
            return 1.0
        return (choice.top_k / largest.top_k) ** 2

    def _try(self, choice: Choice) -> Tried:
        found = self._stores.verify(choice, PairList(tuple(self.sample.pairs)))
        return self._scorer.score(choice, found, self._stores)


def spread(pairs: Sequence[Pair], n_pairs: int) -> list[Pair]:
    """At most `n_pairs` of the pairs, spread evenly over their order."""
    if len(pairs) <= n_pairs:
        return list(pairs)
    rows = np.linspace(0, len(pairs) - 1, n_pairs).round().astype(int)
    return [pairs[row] for row in rows]


def seconds_of(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
