"""torch.hub: `torch.hub.load(FOLDER_OF_THIS_FILE, "silk", source="local")`."""

from __future__ import annotations

from typing import Any

dependencies = ["torch", "kornia", "h5py", "cv2", "safetensors", "cattrs"]


def silk(num_features: int = 2048, **options: Any) -> Any:
    """SiLK as a local feature: images (B, 1 or 3, H, W) -> LAFs, responses, descriptors.

    options: those of the extractor `silk`: `weights`, `nms_radius`, `refine`, ...
    """
    from silk_sfm import SiLK, SilkOptions

    return SiLK(num_features, SilkOptions(**options))


def silk_network(weights: str = "silk", padding: int = 0) -> Any:
    """The network alone: (N, 1, H, W) -> logits (N, 1, h, w), raw descriptors (N, D, h, w)."""
    from silk_sfm import load_silk

    return load_silk(weights, padding)
