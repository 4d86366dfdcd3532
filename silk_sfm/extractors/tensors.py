"""What extractors with a network share: images in as tensors, tensors out as features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.features import LocalFeatures
from silk_sfm.images import check_grey, check_rgb


def rgb_batch(image: np.ndarray, method: str, device: str) -> Tensor:
    """(H, W, 3) float32 RGB in 0..1 -> (1, 3, H, W) on `device`. Raises ImageError."""
    check_rgb(image, method)
    return torch.tensor(image, device=device).permute(2, 0, 1)[None]


def grey_batch(image: np.ndarray, method: str, device: str) -> Tensor:
    """(H, W) float32 grey in 0..1 -> (1, 1, H, W) on `device`. Raises ImageError."""
    check_grey(image, method)
    return torch.tensor(image, device=device)[None, None]


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
