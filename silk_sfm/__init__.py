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
    "ClusterError": "errors",
    "ConfigError": "errors",
    "Correspondences": "plugins",
    "DoubleSoftmax": "matchers.double_softmax",
    "Evaluation": "stages.evaluate",
    "EvaluationOptions": "stages.evaluate",
    "ExtractionOptions": "stages.extract",
    "ExtractorGraph": "export.extractor",
    "FeatureStore": "store",
    "FeatureWriter": "store",
    "HomographyPairs": "evaluation.homography_pairs",
    "HomographyPairsOptions": "evaluation.homography_pairs",
    "GraphOptions": "export.extractor",
    "ImageError": "errors",
    "Imc2022": "evaluation.imc2022",
    "Imc2022Options": "evaluation.imc2022",
    "ImageFolder": "images",
    "LocalFeatures": "features",
    "Magsac": "verifiers.magsac",
    "MappingOptions": "colmap.mapping",
    "MatchStore": "store",
    "MatcherGraph": "export.matcher",
    "MatcherGraphOptions": "export.matcher",
    "Matches": "features",
    "Model": "colmap.model",
    "ModelComparison": "evaluation.model_metrics",
    "Mutual": "matchers.mutual",
    "PairError": "errors",
    "PairList": "pairs",
    "PluginError": "errors",
    "Recipe": "stages.recipe",
    "Reconstruction": "stages.reconstruct",
    "ReconstructionError": "errors",
    "Results": "evaluation.tables",
    "Row": "evaluation.protocol",
    "SiftOptions": "colmap.baseline",
    "SiLK": "kornia_feature",
    "SilkNetwork": "nn.silk",
    "SilkOptions": "extractors.silk",
    "SilkSfmError": "errors",
    "Silk": "extractors.silk",
    "StoreError": "errors",
    "SweepPanel": "evaluation.tune_plot",
    "TwoViewGeometry": "features",
    "VerifiedStore": "store",
    "WeightsError": "errors",
    "area_under_curve": "geometry.pose",
    "assign_cameras": "colmap.assignment",
    "compare_models": "evaluation.model_metrics",
    "draw_matches": "drawing",
    "export_extractor": "export.programs",
    "export_matcher": "export.programs",
    "extraction_provenance": "stages.extract",
    "load_silk": "nn.weights",
    "pack": "store",
    "pair_errors": "geometry.pose",
    "read_methods": "stages.evaluate",
    "read_model": "colmap.model",
    "retrieve_pairs": "stages.retrieval",
    "script_network": "export.programs",
    "sift_baseline": "colmap.baseline",
    "summarise": "colmap.model",
    "write_copies": "evaluation.copies",
    "write_image": "drawing",
    "write_onnx": "export.programs",
    "write_sweep_plot": "evaluation.tune_plot",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module `silk_sfm` has no attribute `{name}`")
    return getattr(import_module(f"silk_sfm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
