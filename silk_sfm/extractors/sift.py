"""SIFT by OpenCV, with RootSIFT's normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.extractors.opencv import best_first, eight_bit, places, values
from silk_sfm.features import LocalFeatures
from silk_sfm.options import check_at_least
from silk_sfm.plugins import About


@dataclass(frozen=True)
class SiftOptions:
    """SIFT as OpenCV computes it; names and defaults are those of Lowe's paper and OpenCV."""

    top_k: int = 8000
    """Keep this many keypoints of highest contrast; 0 keeps all. A place with several orientations
    is a keypoint for each."""
    rootsift: bool = True
    """Take the square root of L1-normalised descriptors (RootSIFT): their dot product is the
    Hellinger kernel. Without it, L2-normalised ones."""
    upright: bool = False
    """Describe without turning to the gradient; each place is one keypoint then. Better for photos
    that are never rolled."""
    n_octave_layers: int = 3
    """Scales in which keypoints are searched per octave."""
    contrast_threshold: float = 0.04
    """Smallest contrast, divided by n_octave_layers inside; smaller finds more keypoints."""
    edge_threshold: float = 10.0
    """Largest ratio of principal curvatures; larger keeps more keypoints on edges."""
    sigma: float = 1.6
    """Gaussian blur of the first scale, in pixels."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 0)
        check_at_least("n_octave_layers", self.n_octave_layers, 1)
        for name in ("contrast_threshold", "edge_threshold", "sigma"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be above 0, got {value}.")


class Sift:
    """SIFT keypoints and (Root)SIFT descriptors, on the CPU.

    The first octave is made by upscaling that keeps pixel centres in place: OpenCV's default shifts
    keypoints by a quarter of a pixel.
    """

    about: ClassVar[About] = About(
        summary="SIFT by OpenCV: blobs of any size and direction, RootSIFT descriptors",
        licence="Apache-2.0 (OpenCV); no weights",
        paper="Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004; "
        "Arandjelović, Zisserman, Three things everyone should know, CVPR 2012 (RootSIFT)",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size: ClassVar[int] = 128
    weights_digest: ClassVar[str] = ""
    lightglue: ClassVar[str] = "sift"
    Options = SiftOptions

    def __init__(self, options: SiftOptions, device: str = "cpu") -> None:
        self.options = options
        self._sift: Any = cv2.SIFT_create(  # type: ignore[attr-defined]
            nOctaveLayers=options.n_octave_layers,
            contrastThreshold=options.contrast_threshold,
            edgeThreshold=options.edge_threshold,
            sigma=options.sigma,
            enable_precise_upscale=True,
        )

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, best score first.

        Scores are contrasts of the difference of Gaussians, scales are sigmas in pixels.
        """
        pixels = eight_bit(image, "SIFT")
        found, raw = self._find(pixels)
        if not found:
            return LocalFeatures.empty(self.descriptor_size, (pixels.shape[1], pixels.shape[0]))
        features = LocalFeatures(
            keypoints=places(found),
            scores=values(found, "response"),
            descriptors=normalise(raw, self.options.rootsift),
            image_size=(pixels.shape[1], pixels.shape[0]),
            scales=values(found, "size") / 2,  # OpenCV's size is a diameter
            orientations=values(found, "angle"),
        )
        return features.select(best_first(features.scores, self.options.top_k))

    def _find(self, pixels: np.ndarray) -> tuple[Any, Any]:
        """All keypoints and their (N, 128) histograms.

        OpenCV would describe a choice of them in a pyramid that starts where its smallest one lies,
        and that gives slightly other numbers.
        """
        if not self.options.upright:
            return self._sift.detectAndCompute(pixels, None)  # type: ignore[no-any-return]
        found = _upright(self._sift.detect(pixels, None))
        return self._sift.compute(pixels, found)  # type: ignore[no-any-return]


def normalise(raw: np.ndarray, rootsift: bool) -> np.ndarray:
    """(N, 128) gradient histograms -> (N, 128) float32 rows of unit length."""
    if rootsift:
        sums = raw.sum(axis=1, keepdims=True, dtype=np.float32)
        return np.asarray(np.sqrt(raw / sums), np.float32)
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def _upright(found: Any) -> list[Any]:
    """The keypoints, once for each place and size, with direction 0."""
    once = {(keypoint.pt, keypoint.size): keypoint for keypoint in reversed(found)}
    for keypoint in once.values():
        keypoint.angle = 0.0
    return list(once.values())[::-1]
