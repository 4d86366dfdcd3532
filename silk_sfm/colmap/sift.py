"""COLMAP's own SIFT as an extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pycolmap

from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures
from silk_sfm.images import check_grey
from silk_sfm.pixels import from_colmap
from silk_sfm.plugins import About

COVARIANT_SIDE = 15
"""Side of an octave, in pixels, up to which VLFeat's covariant detector crashes: the one that fits
ellipses and pools sizes."""


@dataclass(frozen=True)
class ColmapSiftOptions:
    """SIFT as COLMAP computes it on the CPU (VLFeat); names and defaults are COLMAP's."""

    max_num_features: int = 8192
    """Keep the keypoints of largest scale, about this many: COLMAP drops the small ones by whole
    levels of its pyramid, and counts before a place gets several orientations."""
    first_octave: int = -1
    """-1 doubles the image first, 0 does not."""
    num_octaves: int = 4
    """Octaves of the pyramid."""
    octave_resolution: int = 3
    """Scales in which keypoints are searched per octave."""
    peak_threshold: float = 0.02 / 3
    """Smallest contrast; smaller finds more keypoints."""
    edge_threshold: float = 10.0
    """Largest ratio of principal curvatures; larger keeps more keypoints on edges."""
    max_num_orientations: int = 2
    """At most this many orientations of a place."""
    upright: bool = False
    """Describe without turning to the gradient."""
    estimate_affine_shape: bool = False
    """Fit ellipses instead of circles."""
    domain_size_pooling: bool = False
    """Pool descriptors over several sizes of the patch (DSP-SIFT)."""
    normalization: Literal["L1_ROOT", "L2"] = "L1_ROOT"
    """L1_ROOT is RootSIFT."""

    def __post_init__(self) -> None:
        for name in (
            "max_num_features",
            "num_octaves",
            "octave_resolution",
            "peak_threshold",
            "edge_threshold",
            "max_num_orientations",
        ):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be above 0, got {value}.")


class ColmapSift:
    """COLMAP's SIFT keypoints and descriptors, on the CPU.

    Descriptors are COLMAP's 8-bit numbers brought back to unit length.
    """

    about: ClassVar[About] = About(
        summary="SIFT by COLMAP (VLFeat), as its own pipeline extracts it",
        licence="BSD-3-Clause (COLMAP), BSD-2-Clause (VLFeat); no weights",
        paper="Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size: ClassVar[int] = 128
    weights_digest: ClassVar[str] = ""
    lightglue: ClassVar[str] = "sift"
    Options = ColmapSiftOptions

    def __init__(self, options: ColmapSiftOptions, device: str = "cpu") -> None:
        self.options = options
        self._extractor = _extractor(options)

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, largest scale first.

        COLMAP gives no score: the scale (sigma in pixels), by which it ranks keypoints, is taken.
        """
        check_grey(image, "COLMAP's SIFT")
        height, width = image.shape
        if self._crashes_on(min(height, width)):
            return LocalFeatures.empty(self.descriptor_size, (width, height))
        with colmap_log():
            found, described = self._extractor.extract_from_float32_array(np.clip(image, 0, 1))
        if not found:
            return LocalFeatures.empty(self.descriptor_size, (width, height))
        return _local_features(found, np.asarray(described.data), (width, height)).best()

    def _crashes_on(self, side: int) -> bool:
        options = self.options
        covariant = options.estimate_affine_shape or options.domain_size_pooling
        return covariant and side <= COVARIANT_SIDE * 2 ** max(options.first_octave, 0)


def _extractor(options: ColmapSiftOptions) -> Any:
    chosen = pycolmap.FeatureExtractionOptions(use_gpu=False, num_threads=1)
    for name in options.__dataclass_fields__:
        setattr(chosen.sift, name, getattr(options, name))
    with colmap_log():
        return pycolmap.FeatureExtractor.create(chosen, pycolmap.Device.cpu)


def _local_features(found: Any, raw: np.ndarray, image_size: tuple[int, int]) -> LocalFeatures:
    """`found`: COLMAP's N keypoints; `raw`: (N, 128) uint8."""
    xy_colmap = np.array([(keypoint.x, keypoint.y) for keypoint in found])
    scales = np.array([keypoint.compute_scale() for keypoint in found], np.float32)
    radians = np.array([keypoint.compute_orientation() for keypoint in found])
    descriptors = raw / np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    return LocalFeatures(
        keypoints=from_colmap(xy_colmap).astype(np.float32),
        scores=scales,
        descriptors=descriptors.astype(np.float32),
        image_size=image_size,
        scales=scales,
        orientations=(np.rad2deg(radians) % 360).astype(np.float32),
    )
