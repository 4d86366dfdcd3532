"""DISK through kornia."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import kornia.feature
import numpy as np
import torch

from silk_sfm.extractors.inputs import has_nothing
from silk_sfm.extractors.tensors import local_features, rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.library_weights import DISK, load_library
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.state import file_digest
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About

SMALLEST_SIDE = 32
"""The U-Net halves the image four times and normalises over what is left: that must be more than
one value."""


@dataclass(frozen=True)
class DiskOptions:
    """DISK: which weights, and which of their detections become keypoints."""

    weights: str = neutral("disk-depth")  # a store names them by their digest
    """`disk-depth` (trained with depth maps, more precise), `disk-epipolar` (with epipolar
    geometry, finds more) - both Apache-2.0, fetched when first used - or a .pth file."""
    top_k: int = 8000
    """Keep this many keypoints of best score; 0 keeps all."""
    threshold: float = 0.0
    """Smallest score (a logit) of a keypoint."""
    nms_radius: int = 2
    """A keypoint is the best within this many pixels in x and y."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 0)
        check_at_least("nms_radius", self.nms_radius, 1)


class Disk:
    """DISK keypoints (whole pixels) and descriptors, computed by kornia."""

    about: ClassVar[About] = About(
        summary="DISK by kornia: U-Net keypoints and descriptors at full resolution",
        licence="Apache-2.0 (kornia); weights Apache-2.0",
        paper="Tyszkiewicz, Fua, Trulls, DISK: Learning local features with policy gradient, "
        "NeurIPS 2020, arXiv 2006.13566",
        weights=offer(DISK),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    descriptor_size: ClassVar[int] = 128
    lightglue: ClassVar[str] = "disk"
    Options = DiskOptions

    def __init__(self, options: DiskOptions, device: str = "cpu") -> None:
        self.options = options
        path = find_weights(options.weights, catalogue=DISK)
        self.weights_digest = file_digest(path)
        self._network = kornia.feature.DISK()
        load_library(self._network, path, part="extractor")
        self._network.to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, best score first."""
        pixels = rgb_batch(image, "DISK", self._device)
        if has_nothing(image, SMALLEST_SIDE):
            return LocalFeatures.empty(self.descriptor_size, (image.shape[1], image.shape[0]))
        with torch.inference_mode():
            found = self._network(
                pixels,
                n=self.options.top_k or None,
                window_size=2 * self.options.nms_radius + 1,
                score_threshold=self.options.threshold,
                pad_if_not_divisible=True,
            )[0]
        return local_features(
            found.keypoints, found.detection_scores, found.descriptors, image, self.options.top_k
        )
