"""XFeat through kornia."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from kornia.feature.xfeat import XFeat as XFeatNetwork

from silk_sfm.errors import ConfigError
from silk_sfm.extractors.inputs import has_nothing
from silk_sfm.extractors.tensors import local_features, rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.library_weights import XFEAT, load_library
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.state import file_digest
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About

SMALLEST_SIDE = 8
"""An image below this holds no cell of the network's map; it would be enlarged."""

CELL = 32
"""The network sees the image resized to multiples of this."""


@dataclass(frozen=True)
class XFeatOptions:
    """XFeat: which weights, and which of their detections become keypoints."""

    weights: str = neutral("xfeat")  # a store names them by their digest
    """`xfeat`: the authors' weights (Apache-2.0), fetched when first used; or a .pt file."""
    top_k: int = 4096
    """Keep this many keypoints of best score; 0 keeps all."""
    threshold: float = 0.05
    """Smallest value of the keypoint heat map, in [0, 1)."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 0)
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold must lie in [0, 1), got {self.threshold}.")


class XFeat:
    """XFeat keypoints (whole pixels of the image the network sees) and descriptors, by kornia."""

    about: ClassVar[About] = About(
        summary="XFeat by kornia: a small, very fast network",
        licence="Apache-2.0 (kornia); weights Apache-2.0",
        paper="Potje, Cadar, Araujo, Martins, Nascimento, XFeat: Accelerated Features for "
        "Lightweight Image Matching, CVPR 2024, arXiv 2404.19174",
        weights=offer(XFEAT),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    descriptor_size: ClassVar[int] = 64
    lightglue: ClassVar[str] = "xfeat"
    Options = XFeatOptions

    def __init__(self, options: XFeatOptions, device: str = "cpu") -> None:
        self.options = options
        path = find_weights(options.weights, catalogue=XFEAT)
        self.weights_digest = file_digest(path)
        self._network = XFeatNetwork()
        load_library(self._network.net, path)
        self._network.eval().to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, best score first."""
        pixels = rgb_batch(image, "XFeat", self._device)
        if has_nothing(image, SMALLEST_SIDE):
            return LocalFeatures.empty(self.descriptor_size, (image.shape[1], image.shape[0]))
        found = self._network.detectAndCompute(
            pixels, self.options.top_k or image.size, self.options.threshold
        )[0]
        # kornia multiplies the pixel by the ratio of sizes; its centre lies at (i + 0.5) r - 0.5
        ratio = [side / max(CELL, side // CELL * CELL) for side in image.shape[1::-1]]
        shift = torch.tensor(ratio, device=self._device) / 2 - 0.5
        return local_features(
            found["keypoints"] + shift, found["scores"], found["descriptors"], image
        )
