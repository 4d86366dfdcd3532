"""LightGlue through kornia, for the features it has weights for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import kornia.feature
import numpy as np
import torch
from torch import Tensor

from silk_sfm import plugins
from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.inputs import descriptor_tensors
from silk_sfm.nn.library_weights import LIGHTGLUE, load_tensors
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.state import read_state
from silk_sfm.options import check_at_least
from silk_sfm.plugins import About

Features = Literal[
    "auto", "superpoint", "disk", "aliked", "sift", "xfeat", "dedodeb", "keynet_affnet_hardnet"
]


@dataclass(frozen=True)
class LightGlueOptions:
    """Which features are matched, and which pairs count as a match."""

    features: Features = "auto"
    """What the weights were trained for, in kornia's words; auto asks the extractor that made the
    feature store. superpoint is for the weights `superpoint-v1` alone, so auto never takes it."""
    weights: str = ""
    """A .pth file; empty fetches those for the features (Apache-2.0) when first used."""
    threshold: float = 0.1
    """Smallest probability of a match, in [0, 1)."""
    max_keypoints: int = 2048
    """Match at most this many keypoints of an image, the best ones by score; 0 matches all. Time
    grows with its square."""
    depth_confidence: float = 0.95
    """Stop after fewer layers when this share is sure; -1 never stops. xfeat and
    keynet_affnet_hardnet never do."""
    width_confidence: float = 0.99
    """Drop keypoints that cannot be matched when this sure; -1 keeps all. xfeat always takes 0.95,
    keynet_affnet_hardnet keeps all."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold must lie in [0, 1), got {self.threshold}.")
        check_at_least("max_keypoints", self.max_keypoints, 0)


class LightGlue:
    """Attention between the keypoints of two images; the score is the probability of a match."""

    about: ClassVar[About] = About(
        summary="LightGlue by kornia: a network that matches the keypoints of two images",
        licence="Apache-2.0 (kornia); weights Apache-2.0",
        paper="Lindenberger, Sarlin, Pollefeys, LightGlue: Local Feature Matching at Light Speed, "
        "ICCV 2023, arXiv 2306.13643",
        weights=offer(LIGHTGLUE),
    )
    Options = LightGlueOptions

    def __init__(self, options: LightGlueOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = device
        self._networks: dict[str, Any] = {}
        if options.features != "auto":
            self._network(options.features)

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a.

        Raises ConfigError when there is no LightGlue for these features, or when it needs scales
        and orientations that they do not have.
        """
        features = self._features_of(a, b)
        network = self._network(features)
        if len(a) == 0 or len(b) == 0:
            return Matches.empty()
        size = network.conf.input_dim
        if a.descriptors.shape[1] != size:
            raise ConfigError(
                f"LightGlue for {features} needs descriptors of {size} numbers, got "
                f"{a.descriptors.shape[1]}. Say which features these are (`--features`)."
            )
        rows = [_best(side, self.options.max_keypoints) for side in (a, b)]
        chosen = [side.select(best) for side, best in zip((a, b), rows, strict=True)]
        descriptors = descriptor_tensors(chosen[0], chosen[1], self.device)
        inputs = [self._input(features, *pair) for pair in zip(chosen, descriptors, strict=True)]
        with torch.inference_mode():
            found = network({"image0": inputs[0], "image1": inputs[1]})
        pairs = found["matches"][0].cpu().numpy()
        scores = found["scores"][0].float().cpu().numpy()
        return _in_order(rows[0][pairs[:, 0]], rows[1][pairs[:, 1]], scores)

    def _features_of(self, a: LocalFeatures, b: LocalFeatures) -> str:
        if self.options.features != "auto":
            return self.options.features
        known = [str(name) for name in Features.__args__[1:]]  # type: ignore[attr-defined]
        found = {_trained_for(side.method) for side in (a, b)}
        if len(found) > 1 or not found <= set(known):
            methods = " and ".join(sorted({side.method or "unknown features" for side in (a, b)}))
            raise ConfigError(
                f"There is no LightGlue for {methods}. Match them with another matcher, or say "
                f"what they are with `--features`: {', '.join(known)}."
            )
        return found.pop()

    def _network(self, features: str) -> Any:
        if features not in self._networks:
            self._networks[features] = _load(features, self.options).to(self.device)
        return self._networks[features]

    def _input(self, features: str, found: LocalFeatures, descriptors: Tensor) -> dict[str, Tensor]:
        size = torch.tensor([found.image_size], device=self.device, dtype=torch.float32)  # (1, 2)
        keypoints = torch.tensor(found.keypoints, device=self.device)[None]  # (1, N, 2)
        inputs = {
            "keypoints": keypoints.clamp(min=torch.zeros_like(size[:, None]), max=size[:, None]),
            "descriptors": descriptors[None],
            "image_size": size,
        }
        if features not in ("sift", "keynet_affnet_hardnet"):
            return inputs
        scales, degrees = (
            self._of_keypoints(features, found, n) for n in ("scales", "orientations")
        )
        if features == "sift":  # as COLMAP has them: sigma in the image seen, (-pi, pi]
            radians = torch.deg2rad((degrees + 180) % 360 - 180)
            return {**inputs, "scales": scales / found.uncertainty, "oris": radians}
        frames = kornia.feature.laf_from_center_scale_ori(
            keypoints, scales[..., None, None], -degrees[..., None]
        )
        return {**inputs, "lafs": frames}

    def _of_keypoints(self, features: str, found: LocalFeatures, name: str) -> Tensor:
        """(1, N) scales or orientations. Raises ConfigError when there are none."""
        values: np.ndarray | None = getattr(found, name)
        if values is None:
            raise ConfigError(
                f"LightGlue for {features} needs the {name} of the keypoints, which these features "
                "do not have. Extract them with silk-sfm."
            )
        return torch.tensor(values, device=self.device)[None]


def _load(features: str, options: LightGlueOptions) -> Any:
    path = find_weights(options.weights or f"lightglue-{features}", catalogue=LIGHTGLUE)
    chosen: dict[str, Any] = dict(kornia.feature.LightGlue.features[features])
    chosen |= {
        "weights": None,
        "depth_confidence": chosen.get("depth_confidence", options.depth_confidence),
        "width_confidence": chosen.get("width_confidence", options.width_confidence),
        "filter_threshold": options.threshold,
    }
    made: Any = kornia.feature.LightGlue
    network = made(None, **chosen)  # None: fetch nothing
    tensors = {_kornia_name(name): tensor for name, tensor in read_state(path).items()}
    load_tensors(network, tensors, path, frozenset({"confidence_thresholds"}))
    return network


def _kornia_name(name: str) -> str:
    """A published key as kornia has it: `self_attn.0.x` becomes `transformers.0.self_attn.x`."""
    return re.sub(
        r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", name.removeprefix("matcher.")
    )


def _trained_for(method: str) -> str:
    """What an extractor says that LightGlue calls its features; empty when nothing."""
    if method not in plugins.names("extractors"):
        return ""
    return str(getattr(plugins.load("extractors", method), "lightglue", ""))


def _best(features: LocalFeatures, count: int) -> np.ndarray:
    """Rows of the keypoints with the best scores, in their order."""
    if count == 0 or len(features) <= count:
        return np.arange(len(features))
    return np.sort(np.argsort(-features.scores, kind="stable")[:count])


def _in_order(rows: np.ndarray, columns: np.ndarray, scores: np.ndarray) -> Matches:
    order = np.argsort(rows, kind="stable")
    indices = np.stack([rows, columns], axis=1)[order]
    return Matches(indices.astype(np.int32), scores[order].astype(np.float32))
