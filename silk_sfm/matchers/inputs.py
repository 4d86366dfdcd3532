"""What the built-in matchers share: checked tensors in, `Matches` out."""

from __future__ import annotations

import torch

from silk_sfm.errors import ConfigError, StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matching.tiles import MutualPairs


def descriptor_tensor(features: LocalFeatures, device: str) -> torch.Tensor:
    """(N, D) float32 descriptors on `device`. Raises StoreError when a number is not finite."""
    descriptors = torch.tensor(features.descriptors, device=device)
    if not bool(torch.isfinite(descriptors).all()):
        raise StoreError("descriptors hold NaN or infinity; extract the image again.")
    return descriptors


def descriptor_tensors(
    a: LocalFeatures, b: LocalFeatures, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, D) and (M, D) descriptors of a pair, for matchers that prepare nothing once an image.

    Errors: `descriptor_tensor`, `check_sizes`.
    """
    tensors = descriptor_tensor(a, device), descriptor_tensor(b, device)
    check_sizes(*tensors)
    return tensors


def check_sizes(a: torch.Tensor, b: torch.Tensor) -> None:
    """Raises ConfigError when the descriptors of two images have different lengths."""
    if a.shape[1] != b.shape[1]:
        raise ConfigError(
            f"descriptors of image a have {a.shape[1]} numbers, those of image b {b.shape[1]}; "
            "match only images of one extractor."
        )


def to_matches(pairs: MutualPairs) -> Matches:
    """Pairs on any device as `Matches`, in the same order."""
    indices = torch.stack([pairs.rows, pairs.columns], dim=1)  # (K, 2)
    return Matches(indices.int().cpu().numpy(), pairs.values.cpu().numpy())
