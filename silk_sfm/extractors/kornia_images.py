"""What the extractors through kornia share: images in, tensors out as features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.errors import ImageError
from silk_sfm.extractors.inputs import is_blank
from silk_sfm.features import LocalFeatures


def rgb_batch(image: np.ndarray, method: str, device: str) -> Tensor:
    """(H, W, 3) float32 RGB in 0..1 -> (1, 3, H, W) on `device`. Raises ImageError."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or 0 in image.shape:
        raise ImageError(
            f"{method} needs an (H, W, 3) float32 RGB image, got {image.shape} {image.dtype}."
        )
    return torch.tensor(image, device=device).permute(2, 0, 1)[None]


def grey_batch(image: np.ndarray, method: str, device: str) -> Tensor:
    """(H, W) float32 grey in 0..1 -> (1, 1, H, W) on `device`. Raises ImageError."""
    if image.ndim != 2 or image.dtype != np.float32 or 0 in image.shape:
        raise ImageError(
            f"{method} needs an (H, W) float32 grey image, got {image.shape} {image.dtype}."
        )
    return torch.tensor(image, device=device)[None, None]


def has_nothing(image: np.ndarray, smallest_side: int) -> bool:
    """Is the image smaller than a network can take, or of one colour?

    Networks that take the best places of any image find some in one colour, too.
    """
    return min(image.shape[:2]) < smallest_side or is_blank(image)


def local_features(
    keypoints: Tensor,
    scores: Tensor,
    descriptors: Tensor,
    image: np.ndarray,
    top_k: int = 0,
) -> LocalFeatures:
    """(N, 2) pixels, (N,) scores, (N, D) descriptors of any length -> features, best first.

    `top_k`: keep that many; 0 keeps all.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[:top_k] if top_k else order
    height, width = image.shape[:2]
    return LocalFeatures(
        keypoints=keypoints[order].float().cpu().numpy(),
        scores=scores[order].float().cpu().numpy(),
        descriptors=functional.normalize(descriptors[order].float(), dim=1).cpu().numpy(),
        image_size=(width, height),
    )
