"""ALIKED through kornia."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import kornia.feature
import numpy as np
import torch

from silk_sfm.errors import ConfigError
from silk_sfm.extractors.inputs import has_nothing
from silk_sfm.extractors.tensors import local_features, rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.library_weights import ALIKED, load_library
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.state import file_digest
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About

SMALLEST_SIDE = 8
"""Below this the patches that descriptors are sampled from do not fit."""


@dataclass(frozen=True)
class AlikedOptions:
    """ALIKED: which network, and which of its detections become keypoints."""

    model: Literal["aliked-t16", "aliked-n16", "aliked-n16rot", "aliked-n32"] = "aliked-n16"
    """The network: t is tiny, n normal, 16 or 32 the samples of a descriptor, rot trained with
    rotations."""
    weights: str = neutral("")  # a store names them by their digest
    """A .pth file of this network; empty fetches the authors' (BSD-3-Clause) when first used."""
    top_k: int = 8000
    """Keep this many keypoints of best score; 0 keeps all, at most 20,000."""
    threshold: float = 0.2
    """Smallest score of a keypoint, in [0, 1). An image that has none gives those above its mean
    score; so does 0 without top_k, and with it the top_k best maxima."""
    nms_radius: int = 2
    """A keypoint is the best within this many pixels in x and y."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 0)
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold must lie in [0, 1), got {self.threshold}.")
        check_at_least("nms_radius", self.nms_radius, 1)


class Aliked:
    """ALIKED keypoints (sub-pixel) and descriptors, computed by kornia."""

    about: ClassVar[About] = About(
        summary="ALIKED by kornia: light network, descriptors from deformed patches",
        licence="Apache-2.0 (kornia); weights BSD-3-Clause",
        paper="Zhao, Wu, Chen, Chen, Xu, Lee, ALIKED: A Lighter Keypoint and Descriptor Extraction "
        "Network via Deformable Transformation, IEEE TIM 2023, arXiv 2304.03608",
        weights=offer(ALIKED),
        descriptor="128 numbers, 64 of aliked-t16",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    lightglue: ClassVar[str] = "aliked"
    Options = AlikedOptions

    def __init__(self, options: AlikedOptions, device: str = "cpu") -> None:
        self.options = options
        path = find_weights(options.weights or options.model, catalogue=ALIKED)
        self.weights_digest = file_digest(path)
        self._network = kornia.feature.ALIKED(
            options.model, options.top_k or -1, options.threshold, options.nms_radius
        )
        load_library(self._network, path, buffers=frozenset({"dkd.hw_grid"}))
        self._network.to(device)
        self.descriptor_size = 64 if options.model == "aliked-t16" else 128
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, best score first."""
        pixels = rgb_batch(image, "ALIKED", self._device)
        if has_nothing(image, SMALLEST_SIDE):
            return LocalFeatures.empty(self.descriptor_size, (image.shape[1], image.shape[0]))
        with torch.inference_mode():
            found = self._network(pixels)[0]
        return local_features(
            found.keypoints, found.keypoint_scores, found.descriptors, image, self.options.top_k
        )
