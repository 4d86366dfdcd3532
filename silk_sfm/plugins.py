"""Plug-ins: what an extractor, a matcher and a verifier are, and how one is found.

A plug-in is a class with a frozen dataclass `Options`, an `about` text and `__call__`. It is found
by its entry point (`silk_sfm.extractors`, `silk_sfm.matchers`, `silk_sfm.verifiers`) or as
`module:Class`. The built-in ones come through the same door.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np

from silk_sfm.errors import PluginError
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry

Kind = Literal["extractors", "matchers", "verifiers"]
KINDS: tuple[Kind, ...] = ("extractors", "matchers", "verifiers")


@dataclass(frozen=True)
class About:
    """What `silk-sfm plugins` shows of a plug-in."""

    summary: str
    """One line: what it does."""
    licence: str
    """Licence of code and weights; say it when one of them is not free to use."""
    paper: str = ""
    """Where the method is described."""
    weights: str = "none"
    """Names of its weights with their licences (`silk_sfm.nn.published.offer` lists them)."""
    descriptor: str = ""
    """Of an extractor whose `descriptor_size` is known only when it is made: what decides it."""


@dataclass(frozen=True, eq=False)
class Correspondences:
    """The tentative matches of one pair, as points.

    pixels_a, pixels_b: (M, 2) float64 pixels, (0, 0) = centre of the top-left pixel
    rays_a, rays_b: (M, 2) float64 points on the plane z = 1 of each camera, without distortion;
        None unless the intrinsics of both cameras are trusted
    focal_px: mean focal length of the two cameras in pixels; 0 without rays
    noise_px: uncertainty of the keypoints in pixels; thresholds are multiplied by it, so that they
        mean the same at any image size
    """

    pixels_a: np.ndarray
    pixels_b: np.ndarray
    rays_a: np.ndarray | None = None
    rays_b: np.ndarray | None = None
    focal_px: float = 0.0
    noise_px: float = 1.0


@runtime_checkable
class Extractor(Protocol):
    """Finds and describes keypoints; made by `Class(options, device)`."""

    about: ClassVar[About]
    channels: ClassVar[Literal["grey", "rgb"]]
    """What `image` is: (H, W) grey (ITU-R 601) or (H, W, 3) RGB, both float32 in 0..1."""
    descriptor_size: int
    """Numbers of a descriptor; an attribute of the class where it is always the same."""
    weights_digest: str
    """Names the weights in a store's provenance; empty when there are none."""

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of `image`; keypoints come back in its pixels."""


@runtime_checkable
class Describer(Protocol):
    """Describes places that another method found; many extractors can do this, too."""

    about: ClassVar[About]
    channels: ClassVar[Literal["grey", "rgb"]]
    descriptor_size: int
    weights_digest: str

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, D) float32 descriptors of unit length at (N, 2) float32 (x, y) pixels of `image`.

        All numbers are finite; a keypoint beyond what the method sees gets the nearest descriptor.
        A row is zero where there is nothing to describe (DAISY without any gradient).
        """


@runtime_checkable
class Matcher(Protocol):
    """Finds which keypoints of two images show the same thing; made by `Class(options, device)`."""

    about: ClassVar[About]

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""


@runtime_checkable
class PreparingMatcher(Matcher, Protocol):
    """A matcher that does once an image what else it would do for each pair of it.

    `matcher(a, b)` gives what `matcher.match(matcher.prepare(a), matcher.prepare(b))` gives. On the
    CPU `match` is called for several pairs at a time, each in a thread.
    """

    device: str
    """Where it computes: `cpu`, `cuda`, ..."""

    def prepare(self, features: LocalFeatures) -> Any:
        """What `match` takes of an image: checked, converted, on the device.

        It is kept in memory while pairs of the image are matched; with an attribute `nbytes` it
        says how much that takes, else the features count.
        """

    def match(self, a: Any, b: Any) -> Matches:
        """At most one match per keypoint of two prepared images, sorted by that of image a."""


@runtime_checkable
class GatheringMatcher(PreparingMatcher, Protocol):
    """A matcher that takes many pairs at a time, which keeps a GPU busy where a pair is little.

    `match_many(pairs)` gives what `match` gives for each of them.
    """

    pairs_together: int
    """How many pairs it wants at a time; 1 when `match` is as good, which is then called."""

    def match_many(self, pairs: Sequence[tuple[Any, Any]]) -> list[Matches]:
        """The matches of each pair of prepared images, in the order of `pairs`."""


@runtime_checkable
class Verifier(Protocol):
    """Keeps the matches that one two-view geometry explains; made by `Class(options, device)`."""

    about: ClassVar[About]

    def __call__(self, points: Correspondences, matches: Matches, seed: int) -> TwoViewGeometry:
        """The geometry; no inliers when none was found. Same `seed`, same result."""


def names(kind: Kind) -> list[str]:
    """Names of the installed plug-ins of one kind, sorted."""
    return sorted({entry.name for entry in entry_points(group=f"silk_sfm.{kind}")})


def load(kind: Kind, name: str) -> type[Any]:
    """The class of a plug-in, by its name or as `module:Class`.

    Raises PluginError when there is none, when it cannot be imported, or when it lacks a part.
    """
    entry = _entry(kind, name)
    try:
        loaded = entry.load()
    except Exception as error:  # third-party code may fail in any way on import
        raise PluginError(
            f"{kind[:-1].capitalize()} `{name}` ({entry.value}) cannot be imported: "
            f"{type(error).__name__}: {error}. Repair or uninstall it."
        ) from error
    _check_contract(kind, name, loaded)
    return cast("type[Any]", loaded)


def _entry(kind: Kind, name: str) -> EntryPoint:
    group = f"silk_sfm.{kind}"
    if ":" in name:
        if not EntryPoint.pattern.fullmatch(name):
            raise PluginError(f"`{name}` is no {kind[:-1]}: write module:Class.")
        return EntryPoint(name=name, value=name, group=group)
    found = {entry.value: entry for entry in entry_points(group=group) if entry.name == name}
    if len(found) > 1:
        raise PluginError(
            f"Several packages have the {kind[:-1]} `{name}`: {', '.join(sorted(found))}. "
            "Uninstall all but one, or choose by module:Class."
        )
    if found:
        return next(iter(found.values()))
    installed = names(kind)
    close = difflib.get_close_matches(name, installed, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    raise PluginError(f"No {kind[:-1]} `{name}`; installed: {', '.join(installed)}.{hint}")


def _check_contract(kind: Kind, name: str, loaded: object) -> None:
    what = f"{kind[:-1].capitalize()} `{name}`"
    if not isinstance(loaded, type) or "__call__" not in dir(loaded):
        raise PluginError(f"{what} is no class with a `__call__` method.")
    if not isinstance(getattr(loaded, "about", None), About):
        raise PluginError(f"{what} has no `about = About(summary, licence)`.")
    options = getattr(loaded, "Options", None)
    parameters = getattr(options, "__dataclass_params__", None)
    if not (isinstance(options, type) and is_dataclass(options) and parameters.frozen):  # type: ignore[union-attr]
        raise PluginError(f"{what} has no frozen dataclass `Options`.")
    if kind == "extractors" and getattr(loaded, "channels", None) not in ("grey", "rgb"):
        raise PluginError(f'{what} does not say `channels = "grey"` or `"rgb"`.')
