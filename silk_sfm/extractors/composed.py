"""Keypoints of one method, descriptors of another: `sift+silk` is an extractor, too."""

from __future__ import annotations

from dataclasses import field, make_dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from silk_sfm import plugins
from silk_sfm.errors import PluginError
from silk_sfm.features import LocalFeatures
from silk_sfm.images import grey
from silk_sfm.plugins import About

JOINT = "+"


class Composed:
    """An extractor made of two; `compose` adds `about`, `channels` and `Options`.

    The options are those of both, in `detector` and `descriptor`.
    """

    about: ClassVar[About]
    channels: ClassVar[Literal["grey", "rgb"]]
    parts: ClassVar[tuple[type[Any], type[Any]]]

    def __init__(self, options: Any, device: str = "cpu") -> None:
        detector, descriptor = self.parts
        self.options = options
        self.detector = detector(options.detector, device)
        self.descriptor = descriptor(options.descriptor, device)
        self.descriptor_size: int = self.descriptor.descriptor_size
        digests = (self.detector.weights_digest, self.descriptor.weights_digest)
        self.weights_digest = JOINT.join(digests) if any(digests) else ""

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """The detector's keypoints with the descriptors of the other method at their places."""
        found: LocalFeatures = self.detector(self._seen_by(self.detector, image))
        if len(found) == 0:
            return LocalFeatures.empty(self.descriptor_size, found.image_size)
        seen = self._seen_by(self.descriptor, image)
        return replace(found, descriptors=self.descriptor.describe(seen, found.keypoints))

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, D) descriptors at (N, 2) pixels of the image."""
        seen = self._seen_by(self.descriptor, image)
        return np.asarray(self.descriptor.describe(seen, keypoints))

    def _seen_by(self, part: Any, image: np.ndarray) -> np.ndarray:
        return grey(image) if self.channels == "rgb" and part.channels == "grey" else image


def compose(name: str) -> type[Composed]:
    """The extractor of a name `detector+descriptor`.

    Raises PluginError when one of them is no extractor or the second one cannot describe keypoints
    of others.
    """
    names = name.split(JOINT)
    if len(names) != 2 or not all(names):
        raise PluginError(f"`{name}` is no extractor: write DETECTOR{JOINT}DESCRIPTOR.")
    detector, descriptor = (plugins.load("extractors", part) for part in names)
    if not callable(getattr(descriptor, "describe", None)):
        raise PluginError(
            f"Extractor `{names[1]}` cannot describe keypoints of another method; these can: "
            f"{', '.join(describers())}."
        )
    options = make_dataclass(
        "ComposedOptions",
        [
            ("detector", detector.Options, field(default_factory=detector.Options)),
            ("descriptor", descriptor.Options, field(default_factory=descriptor.Options)),
        ],
        frozen=True,
        namespace={"__doc__": f"Keypoints of {names[0]}, descriptors of {names[1]}."},
    )
    both = (detector, descriptor)
    body = {
        "about": _about(names, both),
        "channels": "rgb" if "rgb" in {part.channels for part in both} else "grey",
        "parts": both,
        "Options": options,
    }
    return type("Composed", (Composed,), body)


def describers() -> list[str]:
    """Names of the installed extractors that can describe keypoints of others."""
    able = []
    for name in plugins.names("extractors"):
        try:
            loaded = plugins.load("extractors", name)
        except PluginError:  # a broken one is no candidate; `silk-sfm plugins` names it
            continue
        if callable(getattr(loaded, "describe", None)):
            able.append(name)
    return able


def _about(names: list[str], parts: tuple[type[Any], type[Any]]) -> About:
    abouts = [part.about for part in parts]
    named = list(zip(names, abouts, strict=True))
    return About(
        summary=f"Keypoints of {names[0]}, descriptors of {names[1]}",
        licence="; ".join(f"{about.licence} ({name})" for name, about in named),
        paper="; ".join(about.paper for about in abouts if about.paper),
        weights="; ".join(f"{about.weights} ({name})" for name, about in named),
        descriptor=abouts[1].descriptor,
    )
