"""What the built-in matchers share: checked tensors in, `Matches` out."""

from __future__ import annotations

import numpy as np
import torch

from silk_sfm.errors import ConfigError, StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matching.tiles import MutualPairs


def descriptor_tensors(
    a: LocalFeatures, b: LocalFeatures, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, D) and (M, D) float32 descriptors on `device`.

    Raises ConfigError when D differs, StoreError when a number is not finite.
    """
    size_a, size_b = a.descriptors.shape[1], b.descriptors.shape[1]
    if size_a != size_b:
        raise ConfigError(
            f"descriptors of image a have {size_a} numbers, those of image b {size_b}; "
            "match only images of one extractor."
        )
    for name, features in (("a", a), ("b", b)):
        if not np.isfinite(features.descriptors).all():
            raise StoreError(
                f"descriptors of image {name} hold NaN or infinity; extract that image again."
            )
    return torch.tensor(a.descriptors, device=device), torch.tensor(b.descriptors, device=device)


def to_matches(pairs: MutualPairs) -> Matches:
    """Pairs on any device as `Matches`, in the same order."""
    indices = torch.stack([pairs.rows, pairs.columns], dim=1)  # (K, 2)
    return Matches(indices.int().cpu().numpy(), pairs.values.cpu().numpy())
