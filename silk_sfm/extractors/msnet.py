"""MSNetV0's dense descriptors, at Harris corners or at the keypoints of any other method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from silk_sfm.errors import WeightsError
from silk_sfm.extractors.inputs import (
    check_keypoints,
    check_numbers,
    check_share,
    is_blank,
)
from silk_sfm.extractors.tensors import rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.images import check_rgb, grey
from silk_sfm.nn.catalogues import MSNET
from silk_sfm.nn.colours import normalise_colours
from silk_sfm.nn.detection import suppress_neighbours
from silk_sfm.nn.msnet import (
    DESCRIPTOR_SIZE,
    FOOTPRINT,
    HARRIS_CENTRE,
    Sampling,
    corner_response,
    load_msnet,
    to_cells,
)
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.sampling import sample_unit
from silk_sfm.nn.state import file_digest
from silk_sfm.nn.windowed import run_windowed
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About


@dataclass(frozen=True)
class MsNetOptions:
    """MSNetV0 and the Harris corners that it describes when it has to find keypoints itself."""

    weights: str = neutral("")  # a store names them by their digest
    """A file with MSNetV0's tensors. Nobody published one: train your own, `silk-sfm train --config
    train_msnet`."""
    quantile: float = 0.9
    """Keep corners whose Harris response is above that of this share of all pixels."""
    nms_radius: int = 4
    """Keep only the best corner of each square of (2 nms_radius + 1) pixels; 0 = off."""
    top_k: int = 4096
    """Keep at most this many, the best ones; 0 keeps all."""
    sampling: Sampling = "exact"
    """Where descriptors are read. original: half a cell off, as in the published code."""
    window_pixels: int = neutral(2_000_000)
    """Work on at most this many pixels at a time, 300 bytes each; does not change results."""

    def __post_init__(self) -> None:
        check_numbers(self.top_k, self.window_pixels)
        check_share("quantile", self.quantile)
        check_at_least("nms_radius", self.nms_radius, 0)


class MsNet:
    """Harris corners with MSNetV0's descriptors; `describe` takes any other keypoints."""

    about: ClassVar[About] = About(
        summary="MSNetV0: a dense descriptor on a ResNet-18, at Harris corners",
        licence="Apache-2.0 (code); no published weights",
        paper="lin-zju/my-descriptor-space (no paper); Harris, Stephens, A Combined Corner and "
        "Edge Detector, 1988",
        weights="none published: give a file of your own",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    descriptor_size: ClassVar[int] = DESCRIPTOR_SIZE
    Options = MsNetOptions

    def __init__(self, options: MsNetOptions, device: str = "cpu") -> None:
        self.options = options
        if not options.weights:
            raise WeightsError(
                "MSNet has no published weights. Train it (`silk-sfm train PHOTOS FOLDER --config "
                "train_msnet`) and give the file: --weights FOLDER/weights.safetensors (`weights` "
                "in a recipe)."
            )
        self.weights_digest = file_digest(find_weights(options.weights, catalogue=MSNET))
        self.network = load_msnet(options.weights).to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, strongest corner first.

        Scores are Harris responses.
        """
        check_rgb(image, "MSNet")
        keypoints, scores = self._corners(image)
        descriptors = self.describe(image, keypoints)
        return LocalFeatures(keypoints, scores, descriptors, (image.shape[1], image.shape[0]))

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, 128) float32 unit descriptors at (N, 2) float32 pixels of an (H, W, 3) RGB image."""
        check_keypoints(keypoints)
        pixels = normalise_colours(rgb_batch(image, "MSNet", self._device))
        with torch.inference_mode():
            (maps,) = run_windowed(self.network, pixels, FOOTPRINT, self.options.window_pixels)
            xy = torch.tensor(keypoints, device=self._device)
            cells = to_cells(xy, maps[0], (image.shape[0], image.shape[1]), self.options.sampling)
            return sample_unit(maps[0], cells).cpu().numpy()

    def _corners(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) float32 pixels x, y and (N,) float32 Harris responses, strongest first."""
        if is_blank(image):
            return np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
        response = corner_response(grey(image))
        least = max(0.0, float(np.quantile(response, self.options.quantile)))
        kept = suppress_neighbours(torch.from_numpy(response), self.options.nms_radius).numpy()
        rows, columns = np.nonzero(kept > least)
        scores = response[rows, columns]
        order = np.argsort(-scores, kind="stable")
        order = order[: self.options.top_k] if self.options.top_k else order
        xy = np.stack([columns, rows], axis=1)[order] - HARRIS_CENTRE
        return xy.astype(np.float32), scores[order]
