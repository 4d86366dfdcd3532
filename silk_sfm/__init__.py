"""SiLK keypoints for structure from motion: from a folder of photos to a COLMAP model.

The names below are the public ones. Each is loaded when it is first used, so that importing
silk_sfm stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "About": "plugins",
    "CameraOptions": "colmap.cameras",
    "Chosen": "stages.choice",
    "ConfigError": "errors",
    "Correspondences": "plugins",
    "DoubleSoftmax": "matchers.double_softmax",
    "ExtractionOptions": "stages.extract",
    "FeatureStore": "store",
    "FeatureWriter": "store",
    "ImageError": "errors",
    "ImageFolder": "images",
    "LocalFeatures": "features",
    "Magsac": "verifiers.magsac",
    "MappingOptions": "colmap.mapping",
    "MatchStore": "store",
    "Matches": "features",
    "Model": "colmap.model",
    "Mutual": "matchers.mutual",
    "PairError": "errors",
    "PairList": "pairs",
    "PluginError": "errors",
    "Recipe": "stages.recipe",
    "Reconstruction": "stages.reconstruct",
    "ReconstructionError": "errors",
    "SiftOptions": "colmap.baseline",
    "SilkNetwork": "nn.silk",
    "SilkOptions": "extractors.silk",
    "SilkSfmError": "errors",
    "Silk": "extractors.silk",
    "StoreError": "errors",
    "TwoViewGeometry": "features",
    "VerifiedStore": "store",
    "WeightsError": "errors",
    "area_under_curve": "geometry.pose",
    "assign_cameras": "colmap.assignment",
    "draw_matches": "drawing",
    "extraction_provenance": "stages.extract",
    "load_silk": "nn.weights",
    "pack": "store",
    "pair_errors": "geometry.pose",
    "read_model": "colmap.model",
    "sift_baseline": "colmap.baseline",
    "summarise": "colmap.model",
    "write_image": "drawing",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module `silk_sfm` has no attribute `{name}`")
    return getattr(import_module(f"silk_sfm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
