"""DeDoDe through kornia."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import kornia.feature
import numpy as np
import torch
from torch.nn import functional

from silk_sfm.extractors.inputs import check_keypoints, has_nothing
from silk_sfm.extractors.tensors import local_features, rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.library_weights import (
    DEDODE_DESCRIPTOR,
    DEDODE_DETECTOR,
    joint_digest,
    load_library,
)
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About

SMALLEST_SIDE = 14
"""The networks see the image padded to multiples of this."""


@dataclass(frozen=True)
class DedodeOptions:
    """DeDoDe: detector and descriptor are two networks, trained one after the other."""

    detector_weights: str = neutral("dedode-L-v2")  # a store names them by their digest
    """`dedode-L-v2`, `dedode-L`, `dedode-L-C4`, `dedode-L-SO2` (MIT, fetched when first used; C4
    and SO2 are better for rotations), or a .pth file."""
    descriptor_weights: str = neutral("dedode-B")
    """`dedode-B`, `dedode-B-C4`, `dedode-B-SO2` (MIT, fetched when first used), or a .pth file."""
    top_k: int = 8000
    """Keep this many keypoints of best score."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 0)


class Dedode:
    """DeDoDe keypoints (whole pixels) and descriptors, computed by kornia. Slow without a GPU."""

    about: ClassVar[About] = About(
        summary="DeDoDe by kornia: detector learned from 3D points, descriptor of its own",
        licence="Apache-2.0 (kornia); weights MIT",
        paper="Edstedt, Bökman, Wadenbring, Felsberg, DeDoDe: Detect, Don't Describe; Describe, "
        "Don't Detect, 3DV 2024, arXiv 2308.08479",
        weights=offer(DEDODE_DETECTOR, DEDODE_DESCRIPTOR),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    descriptor_size: ClassVar[int] = 256
    lightglue: ClassVar[str] = "dedodeb"
    Options = DedodeOptions

    def __init__(self, options: DedodeOptions, device: str = "cpu") -> None:
        self.options = options
        detector = find_weights(options.detector_weights, catalogue=DEDODE_DETECTOR)
        descriptor = find_weights(options.descriptor_weights, catalogue=DEDODE_DESCRIPTOR)
        self.weights_digest = joint_digest(detector, descriptor)
        self._network = kornia.feature.DeDoDe("L", "B", amp_dtype=torch.float32)
        load_library(self._network.detector, detector)
        load_library(self._network.descriptor, descriptor)
        self._network.to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, best score first."""
        pixels = rgb_batch(image, "DeDoDe", self._device)
        if has_nothing(image, SMALLEST_SIDE):
            return LocalFeatures.empty(self.descriptor_size, (image.shape[1], image.shape[0]))
        n_pixels = image.shape[0] * image.shape[1]
        with torch.inference_mode():
            found, scores, descriptors = self._network(
                pixels, n=min(self.options.top_k or n_pixels, n_pixels)
            )
        keypoints = found[0] - 0.5  # kornia counts from the corner of the first pixel
        return local_features(keypoints, scores[0], descriptors[0], image)

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, 256) float32 unit descriptors at (N, 2) float32 pixels of the image."""
        check_keypoints(keypoints)
        pixels = rgb_batch(image, "DeDoDe", self._device)
        height, width = image.shape[:2]
        inside = np.clip(keypoints, 0, np.array([width - 1, height - 1], np.float32))
        normalised = (2 * inside + 1) / np.array([width, height], np.float32) - 1
        with torch.inference_mode():
            described = self._network.describe(
                pixels, torch.tensor(normalised[None], device=self._device)
            )
        return np.asarray(functional.normalize(described[0].float(), dim=1).cpu().numpy())
