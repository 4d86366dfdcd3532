"""SiLK with the interface of kornia's local features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from silk_sfm.errors import ImageError
from silk_sfm.extractors.silk import Silk, SilkOptions, SilkView
from silk_sfm.features import LocalFeatures
from silk_sfm.images import GREY_WEIGHTS
from silk_sfm.nn.detection import REMOVED


class SiLK(nn.Module):
    """SiLK as a local feature of kornia, e.g. in `kornia.feature.LocalFeatureMatcher`.

    Works where the image is (CPU or CUDA) and gives no gradients. Frames (LAFs) have the keypoint
    as centre, no rotation, and the receptive field as extent; coordinates are pixels with (0, 0)
    in the centre of the top-left one, as kornia has them.
    """

    def __init__(self, num_features: int = 2048, options: SilkOptions | None = None) -> None:
        """`options`: weights, suppression, ...; `num_features` replaces top_k and threshold."""
        super().__init__()
        self.num_features = num_features
        self.options = replace(
            options or SilkOptions(), top_k=num_features, max_keypoints=num_features, threshold=1.0
        )
        self._silk = Silk(self.options)
        self._device = torch.device("cpu")

    def forward(self, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Images -> frames (B, N, 2, 3), responses (B, N), descriptors (B, N, D) of length 1.

        image: (B, 1, H, W) grey or (B, 3, H, W) RGB, float32 in 0..1; mask: (B, 1, H, W), no
        keypoint where it is 0. N is `num_features`, or what the richest image has; missing rows
        of others are zeros, as kornia pads. Raises ImageError for other shapes, or when the image
        is smaller than the receptive field.
        """
        _check(image, mask)
        silk = self._silk_on(image.device)
        found = [
            _features(silk, grey, None if mask is None else mask[index, 0])
            for index, grey in enumerate(_grey(image))
        ]
        n_most = max(map(len, found))
        extent = float(silk.network.architecture.reach)
        stacked = zip(*(_padded(features, n_most, extent) for features in found), strict=True)
        frames, responses, descriptors = (torch.stack(each).to(image.device) for each in stacked)
        return frames, responses, descriptors

    def _silk_on(self, device: torch.device) -> Silk:
        """The network follows the image."""
        if device != self._device:
            self._silk, self._device = Silk(self.options, str(device)), device
        return self._silk


def _check(image: Tensor, mask: Tensor | None) -> None:
    if image.ndim != 4 or image.shape[1] not in (1, 3) or len(image) == 0:
        raise ImageError(f"SiLK needs images of shape (B, 1 or 3, H, W), got {tuple(image.shape)}.")
    expected = (image.shape[0], 1, *image.shape[2:])
    if mask is not None and tuple(mask.shape) != expected:
        raise ImageError(f"The mask must have the shape {expected}, got {tuple(mask.shape)}.")


def _grey(image: Tensor) -> np.ndarray:
    """(B, 1 or 3, H, W) -> (B, H, W) float32."""
    pixels = image.detach().float().cpu().numpy()
    return pixels[:, 0] if pixels.shape[1] == 1 else np.tensordot(pixels, GREY_WEIGHTS, (1, 0))


def _features(silk: Silk, grey: np.ndarray, mask: Tensor | None) -> LocalFeatures:
    """Keypoints are chosen among the places that the mask allows."""
    view = silk.look(grey)
    if mask is not None:
        view = _masked(view, mask, silk.network.offset)
    return silk.choose(view, silk.options)


def _masked(view: SilkView, mask: Tensor, offset: int) -> SilkView:
    height, width = view.image_shape
    cells = mask[offset : height - offset, offset : width - offset]
    return replace(view, informative=view.informative.masked_fill(cells == 0, REMOVED))


def _padded(features: LocalFeatures, count: int, extent: float) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (N, 2, 3), responses (N,) and descriptors (N, D), zeros behind the last keypoint."""
    frames = torch.zeros(count, 2, 3)
    frames[: len(features), 0, 0] = frames[: len(features), 1, 1] = extent
    frames[: len(features), :, 2] = torch.from_numpy(features.keypoints)
    more = count - len(features)
    scores = np.pad(features.scores, (0, more))
    descriptors = np.pad(features.descriptors, ((0, more), (0, 0)))
    return frames, torch.from_numpy(scores), torch.from_numpy(descriptors)
