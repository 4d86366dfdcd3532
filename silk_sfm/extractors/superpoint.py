"""SuperPoint keypoints and descriptors as an extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from silk_sfm.errors import ImageError
from silk_sfm.extractors.inputs import (
    check_keypoints,
    check_numbers,
    check_share,
    is_blank,
)
from silk_sfm.extractors.tensors import grey_batch, local_features
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.catalogues import SUPERPOINT
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.sampling import sample_unit
from silk_sfm.nn.state import file_digest
from silk_sfm.nn.superpoint import (
    CELL,
    DESCRIPTOR_SIZE,
    FOOTPRINT,
    load_superpoint,
    pixel_scores,
)
from silk_sfm.nn.superpoint_detection import Sampling, Suppression, drop_border, suppress, to_cells
from silk_sfm.nn.windowed import run_windowed
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About


@dataclass(frozen=True)
class SuperPointOptions:
    """SuperPoint: which weights, and which pixels become keypoints."""

    weights: str = neutral("superpoint-v6")  # a store names them by their digest
    """A file with the names of superpoint_v1.pth or of superpoint_v6_from_tf.pth, or a name:
    `superpoint-v6` (MIT) or `superpoint-v1` (Magic Leap, NON-COMMERCIAL), fetched at first use."""
    threshold: float = 0.005
    """Keep keypoints with a probability strictly above this."""
    nms_radius: int = 4
    """Keep only the best keypoint of each square of (2 nms_radius + 1) pixels; 0 = off."""
    nms: Suppression = "greedy"
    """greedy: from the best keypoint down, border in pixels of the image, as in the paper's code.
    rounds: hloc's, LightGlue's and rpautrat's approximation, border in pixels of whole cells."""
    border: int = 4
    """No keypoints within this many pixels of the border, after the suppression."""
    top_k: int = 4096
    """Keep at most this many, the best ones; 0 keeps all."""
    sampling: Sampling = "half-pixel"
    """Where descriptors are read. half-pixel: exact. To repeat other codes' numbers: superglue
    (also LightGlue and hloc), magicleap, magicleap-2018 (with the torch of its time)."""
    window_pixels: int = neutral(2_000_000)
    """Work on at most this many pixels at a time, 800 bytes each; does not change results."""

    def __post_init__(self) -> None:
        check_numbers(self.top_k, self.window_pixels)
        check_share("threshold", self.threshold)
        check_at_least("nms_radius", self.nms_radius, 0)
        check_at_least("border", self.border, 0)


class SuperPoint:
    """SuperPoint on one image. The last H mod 8 rows and W mod 8 columns hold no keypoints."""

    about: ClassVar[About] = About(
        summary="SuperPoint: corners of a network that was taught by synthetic shapes",
        licence="Apache-2.0 (code); MIT (weights `superpoint-v6`); Magic Leap, NON-COMMERCIAL "
        "(weights `superpoint-v1`)",
        paper="DeTone, Malisiewicz, Rabinovich: SuperPoint. CVPR workshops 2018, arXiv 1712.07629",
        weights=offer(SUPERPOINT),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size: ClassVar[int] = DESCRIPTOR_SIZE
    Options = SuperPointOptions

    def __init__(self, options: SuperPointOptions, device: str = "cpu") -> None:
        self.options = options
        self.weights_digest = file_digest(find_weights(options.weights, catalogue=SUPERPOINT))
        self.network = load_superpoint(options.weights).to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, best score first.

        Scores are probabilities. Raises ImageError when the image is smaller than one cell.
        """
        logits, descriptors = self._look(image)
        if is_blank(image):
            return LocalFeatures.empty(DESCRIPTOR_SIZE, image.shape[::-1])
        with torch.inference_mode():
            xy, scores = self._detect(logits, image.shape)
            sampled = self._sample(descriptors, xy, image.shape)
            return local_features(xy, scores, sampled, image)

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, 256) float32 unit descriptors at (N, 2) float32 pixels of an (H, W) grey image."""
        check_keypoints(keypoints)
        _, descriptors = self._look(image)
        with torch.inference_mode():
            xy = torch.tensor(keypoints, device=self._device)
            return self._sample(descriptors, xy, image.shape).cpu().numpy()

    def _look(self, image: np.ndarray) -> tuple[Tensor, Tensor]:
        """(65, h, w) logits and (256, h, w) unit descriptors of the cells."""
        pixels = grey_batch(image, "SuperPoint", self._device)
        if min(image.shape) < CELL:
            raise ImageError(
                f"{image.shape[1]} x {image.shape[0]} px is smaller than the {CELL} x {CELL} px of "
                "a cell of SuperPoint; leave the image out or enlarge it."
            )
        with torch.inference_mode():
            logits, descriptors = run_windowed(
                self.network, pixels, FOOTPRINT, self.options.window_pixels
            )
        return logits[0], descriptors[0]

    def _detect(self, logits: Tensor, image_shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """(N, 2) pixels x, y and (N,) probabilities of the keypoints, best first."""
        how, shape = self.options.nms, (image_shape[0], image_shape[1])
        scores = suppress(pixel_scores(logits), self.options.nms_radius, how)
        scores = drop_border(scores, self.options.border, shape, how)
        yx = torch.nonzero(scores > self.options.threshold)
        found = scores[yx[:, 0], yx[:, 1]]
        order = torch.argsort(found, descending=True, stable=True)
        order = order[: self.options.top_k] if self.options.top_k else order
        return yx[order].flip(1).float(), found[order]

    def _sample(self, descriptors: Tensor, xy: Tensor, image_shape: tuple[int, ...]) -> Tensor:
        shape = (image_shape[0], image_shape[1])
        return sample_unit(descriptors, to_cells(xy, descriptors, shape, self.options.sampling))
