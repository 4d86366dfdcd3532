"""Key.Net keypoints with OriNet directions and HardNet descriptors, through kornia."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import kornia.feature
import numpy as np
import torch
from torch import Tensor, nn

from silk_sfm.extractors.inputs import has_nothing
from silk_sfm.extractors.tensors import grey_batch, local_features
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.library_weights import (
    HARDNET,
    KEYNET,
    ORINET,
    joint_digest,
    load_library,
)
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About

SMALLEST_SIDE = 64
"""Below this the smallest level of the pyramid has no pixel outside its border of 15."""

PATCH_SCALE = 22.0
"""kornia's scale of a keypoint found on the level of the image itself, in pixels."""


@dataclass(frozen=True)
class KeynetOptions:
    """Key.Net, OriNet and HardNet: three small networks, all from their authors."""

    weights: str = neutral("keynet")  # a store names them by their digest
    """Of the detector: `keynet` (MIT, fetched when first used) or a .pth file."""
    orientation_weights: str = neutral("orinet")
    """Of the direction of a keypoint: `orinet` (MIT, fetched when first used) or a .pth file."""
    descriptor_weights: str = neutral("hardnet")
    """Of the descriptor: `hardnet` (MIT, fetched when first used) or a .pth file."""
    top_k: int = 4096
    """Keep this many keypoints of best score."""
    upright: bool = False
    """Describe without turning to OriNet's direction, which is not needed then."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 1)


class Keynet:
    """Key.Net keypoints (whole pixels of their level) and HardNet descriptors, by kornia."""

    about: ClassVar[About] = About(
        summary="Key.Net by kornia: learned keypoints of any size, HardNet descriptors of patches",
        licence="Apache-2.0 (kornia); weights MIT",
        paper="Barroso-Laguna, Riba, Ponsa, Mikolajczyk, Key.Net, ICCV 2019, arXiv 1904.00889; "
        "Mishchuk, Mishkin, Radenović, Matas, HardNet, NIPS 2017, arXiv 1705.10872",
        weights=offer(KEYNET, ORINET, HARDNET),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size: ClassVar[int] = 128
    lightglue: ClassVar[str] = "keynet_affnet_hardnet"
    Options = KeynetOptions

    def __init__(self, options: KeynetOptions, device: str = "cpu") -> None:
        self.options = options
        detector = find_weights(options.weights, catalogue=KEYNET)
        descriptor = find_weights(options.descriptor_weights, catalogue=HARDNET)
        files = [detector, descriptor]
        orienter: nn.Module = kornia.feature.PassLAF()
        if not options.upright:
            files.append(find_weights(options.orientation_weights, catalogue=ORINET))
            orinet = kornia.feature.OriNet(pretrained=False)
            load_library(orinet, files[-1])
            orienter = kornia.feature.LAFOrienter(angle_detector=orinet)
        self.weights_digest = joint_digest(*files)
        self._network = _network(orienter, options.top_k, detector, descriptor).to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, best score first.

        Scales are half the sides of the patches described, in pixels.
        """
        pixels = grey_batch(image, "Key.Net", self._device)
        if has_nothing(image, SMALLEST_SIDE):
            return LocalFeatures.empty(self.descriptor_size, (image.shape[1], image.shape[0]))
        with torch.inference_mode():
            frames, scores, descriptors = self._network(pixels)
        filled = kornia.feature.laf_is_filled(frames)[0]
        frames = frames[:, filled]
        order = torch.argsort(scores[0, filled], descending=True, stable=True)
        scales = kornia.feature.get_laf_scale(frames).flatten()[order].cpu().numpy()
        turned = kornia.feature.get_laf_orientation(frames).flatten()[order].cpu().numpy()
        features = local_features(
            _centres(frames[0]), scores[0, filled], descriptors[0, filled], image
        )
        # kornia's directions count from the x axis upwards
        return replace(features, scales=scales, orientations=np.asarray(-turned % 360, np.float32))


def _network(orienter: nn.Module, top_k: int, detector: Path, descriptor: Path) -> nn.Module:
    keynet = kornia.feature.KeyNet(pretrained=False)
    load_library(keynet, detector)
    found = kornia.feature.KeyNetDetector(False, num_features=top_k, ori_module=orienter)
    found.model = keynet
    hardnet = kornia.feature.HardNet(pretrained=False)
    load_library(hardnet, descriptor)
    described = kornia.feature.LAFDescriptor(hardnet, patch_size=32, grayscale_descriptor=True)
    return kornia.feature.LocalFeature(found, described).eval()


def _centres(frames: Tensor) -> Tensor:
    """(N, 2, 3) frames -> (N, 2) pixels.

    kornia multiplies the pixel of a level by the ratio of sizes r, which is in the frame's scale;
    its centre lies at (i + 0.5) r - 0.5.
    """
    ratio = kornia.feature.get_laf_scale(frames[None]).flatten() / PATCH_SCALE
    return frames[:, :, 2] + (ratio[:, None] - 1) / 2
