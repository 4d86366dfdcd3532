"""What `tune` varies: image size, number of keypoints, weights, matcher and verifier threshold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from silk_sfm.errors import ConfigError
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.recipe import Recipe

MATCHER_THRESHOLDS = {
    "threshold": (0.05, 0.1, 0.2, 0.3, 0.5, 0.7),
    "ratio": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
}
"""What a matcher's threshold may be called, and the values tried unless others are given."""
VERIFIER_THRESHOLD = "threshold_px"


@dataclass(frozen=True)
class TuneOptions:
    """What is tried, on how many pairs, and what counts."""

    max_sizes: tuple[int, ...] = (480, 720, 1024, 1600)
    """Longer sides in pixels that images are shrunk to."""
    top_k: tuple[int, ...] = (1000, 5000, 10000, 20000)
    """Numbers of keypoints; each image is looked at once for all of them."""
    weights: tuple[str, ...] = ()
    """Weights of the extractor, by name or path; none given: those of the recipe."""
    matcher_thresholds: tuple[float, ...] = ()
    """Thresholds (or ratios) of the matcher; none given: a range that fits the matcher."""
    verifier_thresholds_px: tuple[float, ...] = (0.4, 0.6, 1.0, 1.5, 2.5)
    """RANSAC thresholds in pixels."""
    n_pairs: int = 12
    """Pairs of the sample, spread evenly over all pairs."""
    count_px: float = 1.0
    """An inlier of any choice counts within this error, in pixels of a photo at the largest of
    `max_sizes`, so that a loose RANSAC threshold gains nothing by itself."""
    auc_degrees: float = 5.0
    """With ground truth: AUC of the pose error up to this angle."""

    def __post_init__(self) -> None:
        numbers = (*self.max_sizes, *self.top_k, *self.verifier_thresholds_px)
        if not self.max_sizes or not self.verifier_thresholds_px or min(numbers) <= 0:
            raise ConfigError(
                "max_sizes, top_k and verifier_thresholds_px must be above 0; only top_k may be "
                "left empty."
            )
        if self.n_pairs < 1 or not (self.count_px > 0 and self.auc_degrees > 0):
            raise ConfigError("n_pairs, count_px and auc_degrees must be above 0.")


def useful_sizes(max_sizes: tuple[int, ...], longest_side: int) -> tuple[int, ...]:
    """The sizes in order, without those that leave the photos as a smaller one does already."""
    ordered = sorted(set(max_sizes))
    before = [0, *ordered]
    return tuple(size for size, less in zip(ordered, before, strict=False) if less < longest_side)


@dataclass(frozen=True)
class Choice:
    """One point of the sweep; None keeps what the recipe says."""

    max_size: int
    top_k: int | None
    weights: str | None
    matcher_threshold: float | None
    verifier_threshold_px: float | None

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe with these values."""
        extractor = _with(base.extractor, "top_k", self.top_k)
        extractor = _with(extractor, "weights", self.weights)
        matcher = base.matcher
        name = threshold_name(matcher)
        if name is not None:
            matcher = _with(matcher, name, self.matcher_threshold)
        return replace(
            base,
            extraction=replace(base.extraction, max_size=self.max_size),
            extractor=extractor,
            matcher=matcher,
            verifier=_with(base.verifier, VERIFIER_THRESHOLD, self.verifier_threshold_px),
        )

    @property
    def view(self) -> str:
        """Names the folder of what the extractor saw; files of one name stay apart."""
        if self.weights is None:
            return f"{self.max_size}px"
        weights = Path(self.weights).as_posix().strip("/").replace("/", "_")
        return f"{weights}_{self.max_size}px"

    def __str__(self) -> str:
        parts = [
            self.weights,
            f"{self.max_size} px",
            None if self.top_k is None else f"top {self.top_k}",
            None if self.matcher_threshold is None else f"match {self.matcher_threshold:g}",
        ]
        return ", ".join(part for part in parts if part is not None)


def grid(base: Recipe, options: TuneOptions) -> list[Choice]:
    """Every image size with every number of keypoints and all weights; thresholds as in `base`.

    Raises ConfigError when the extractor has no option for something that is asked for.
    """
    has_top_k = _has(base.extractor, "top_k")
    if options.weights and not _has(base.extractor, "weights"):
        raise ConfigError(
            f"The extractor `{base.extractor.name}` has no option `weights` to try "
            f"{', '.join(options.weights)} with. Leave --weights out."
        )
    numbers: tuple[int | None, ...] = options.top_k if has_top_k and options.top_k else (None,)
    return [
        Choice(size, number, weights, current_matcher(base), current_verifier(base))
        for weights in options.weights or (None,)
        for size in sorted(set(options.max_sizes))
        for number in sorted(set(numbers), key=lambda each: each or 0)
    ]


def matcher_choices(best: Choice, base: Recipe, options: TuneOptions) -> list[Choice]:
    """The best choice so far with other thresholds of the matcher; none when it has none."""
    name = threshold_name(base.matcher)
    if name is None:
        return []
    values = options.matcher_thresholds or MATCHER_THRESHOLDS[name]
    return [
        replace(best, matcher_threshold=value)
        for value in sorted(set(values))
        if value != best.matcher_threshold
    ]


def verifier_choices(best: Choice, base: Recipe, options: TuneOptions) -> list[Choice]:
    """The best choice so far with other RANSAC thresholds; none when the verifier has none."""
    if not _has(base.verifier, VERIFIER_THRESHOLD):
        return []
    return [
        replace(best, verifier_threshold_px=value)
        for value in sorted(set(options.verifier_thresholds_px))
        if value != best.verifier_threshold_px
    ]


def threshold_name(matcher: Chosen) -> str | None:
    """What the matcher calls its threshold; None when it has none that is known here."""
    return next((name for name in MATCHER_THRESHOLDS if _has(matcher, name)), None)


def current_matcher(base: Recipe) -> float | None:
    """The threshold of the recipe's matcher."""
    name = threshold_name(base.matcher)
    return None if name is None else getattr(base.matcher.options, name)


def current_verifier(base: Recipe) -> float | None:
    """The threshold of the recipe's verifier."""
    return getattr(base.verifier.options, VERIFIER_THRESHOLD, None)


def _has(chosen: Chosen, name: str) -> bool:
    return name in {field.name for field in dataclasses.fields(chosen.options)}


def _with(chosen: Chosen, name: str, value: Any) -> Chosen:
    if value is None:
        return chosen
    return replace(chosen, options=replace(chosen.options, **{name: value}))
