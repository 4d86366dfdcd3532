"""KP2D keypoints and descriptors as an extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.extractors.inputs import (
    check_keypoints,
    check_numbers,
    check_share,
    is_blank,
)
from silk_sfm.extractors.tensors import local_features, rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.catalogues import KP2D
from silk_sfm.nn.kp2d import (
    CELL,
    DESCRIPTOR_SIZE,
    VARIANTS,
    keypoint_places,
    load_kp2d,
    scale_input,
    without_outer_cells,
)
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.sampling import half_pixel, sample_unit
from silk_sfm.nn.state import file_digest
from silk_sfm.nn.windowed import run_windowed
from silk_sfm.options import neutral
from silk_sfm.plugins import About


@dataclass(frozen=True)
class Kp2dOptions:
    """KP2D: which network, and which of its keypoints are kept."""

    version: Literal["v0", "v1", "v2", "v3", "v4"] = "v4"
    """Of the paper's ablation. v0: keypoints within their cells. v1: also beyond. v2: descriptors
    at twice the resolution. v3, v4: the same network, trained with IO-Net."""
    weights: str = neutral("")  # a store names them by their digest
    """A file with KeypointNet's tensors, or a name, `kp2d-v4` to `kp2d-v0` (MIT, fetched at first
    use); empty takes the name of the version."""
    threshold: float = 0.0
    """Keep keypoints with a score strictly above this, in 0..1."""
    top_k: int = 5000
    """Keep at most this many, the best ones; 0 keeps one for each 8 x 8 pixels."""
    sampling: Literal["original", "half-pixel"] = "original"
    """Where descriptors are read. original: as the networks were trained, up to 0.4 cells off near
    the image's border. half-pixel: exact."""
    window_pixels: int = neutral(2_000_000)
    """Work on at most this many pixels at a time, 500 bytes each; does not change results."""

    def __post_init__(self) -> None:
        check_numbers(self.top_k, self.window_pixels)
        check_share("threshold", self.threshold)


class Kp2d:
    """KeypointNet on one image: one keypoint for each 8 x 8 pixels, except in the outermost cells.

    Sides that are no multiple of 8 are continued with their last pixels, which get no keypoints.
    """

    about: ClassVar[About] = About(
        summary="KP2D: one sub-pixel keypoint for each cell, learned by outlier rejection",
        licence="Apache-2.0 (code); MIT (weights)",
        paper="Tang et al., Neural Outlier Rejection for Self-Supervised Keypoint Learning, "
        "ICLR 2020, arXiv 1912.10615",
        weights=offer(KP2D),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    descriptor_size: ClassVar[int] = DESCRIPTOR_SIZE
    Options = Kp2dOptions

    def __init__(self, options: Kp2dOptions, device: str = "cpu") -> None:
        self.options = options
        weights = options.weights or f"kp2d-{options.version}"
        self.weights_digest = file_digest(find_weights(weights, catalogue=KP2D))
        self.network = load_kp2d(weights, options.version).to(device)
        self._variant = VARIANTS[options.version]
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, best score first."""
        scores, shifts, descriptors = self._look(image)
        if is_blank(image):
            return LocalFeatures.empty(DESCRIPTOR_SIZE, (image.shape[1], image.shape[0]))
        with torch.inference_mode():
            places = keypoint_places(shifts, self._variant.cross_border)
            xy = places.flatten(1).T  # (h w, 2)
            score = without_outer_cells(scores[0]).flatten()
            height, width = image.shape[:2]
            last = xy.new_tensor([width - 0.5, height - 0.5])
            kept = (score > self.options.threshold) & (xy <= last).all(dim=1)
            xy, score = xy[kept], score[kept]
            order = torch.argsort(score, descending=True, stable=True)
            order = order[: self.options.top_k] if self.options.top_k else order
            sampled = self._sample(descriptors, xy[order])
            return local_features(xy[order], score[order], sampled, image)

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, 256) float32 unit descriptors at (N, 2) float32 pixels of an (H, W, 3) RGB image."""
        check_keypoints(keypoints)
        _, _, descriptors = self._look(image)
        with torch.inference_mode():
            xy = torch.tensor(keypoints, device=self._device)
            return self._sample(descriptors, xy).cpu().numpy()

    def _look(self, image: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """(1, h, w) scores, (2, h, w) shifts and a map of raw descriptors of the padded image."""
        pixels = rgb_batch(image, "KP2D", self._device)
        height, width = image.shape[:2]
        padded = functional.pad(pixels, (0, -width % CELL, 0, -height % CELL), "replicate")
        with torch.inference_mode():
            scores, shifts, descriptors = run_windowed(
                self.network,
                scale_input(padded),
                self._variant.footprint,
                self.options.window_pixels,
            )
        return scores[0], shifts[0], descriptors[0]

    def _sample(self, descriptors: Tensor, xy: Tensor) -> Tensor:
        cell = self._variant.descriptor_cell
        if self.options.sampling == "half-pixel":
            return sample_unit(descriptors, half_pixel(xy, cell))
        cells = torch.tensor([descriptors.shape[2], descriptors.shape[1]], device=xy.device)
        return sample_unit(descriptors, xy / (cells * cell - 1) * (cells - 1))
