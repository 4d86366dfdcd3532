"""ORB by OpenCV: binary descriptors, stored so that their cosine says the Hamming distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.extractors.opencv import best_first, eight_bit, places, values
from silk_sfm.features import LocalFeatures
from silk_sfm.options import check_at_least
from silk_sfm.plugins import About

N_BITS = 256


@dataclass(frozen=True)
class OrbOptions:
    """ORB as OpenCV computes it; names and defaults are OpenCV's."""

    top_k: int = 8000
    """Keep at most this many keypoints, shared out among the levels; 0 keeps all."""
    scale_factor: float = 1.2
    """Ratio of sizes between levels of the pyramid."""
    n_levels: int = 8
    """Levels of the pyramid; those without a pixel are left out."""
    fast_threshold: int = 20
    """Smallest difference of grey values (0..255) of a FAST corner to its circle."""
    score: Literal["harris", "fast"] = "harris"
    """How corners are ranked."""

    def __post_init__(self) -> None:
        check_at_least("top_k", self.top_k, 0)
        if not 1 < self.scale_factor < float("inf"):
            raise ConfigError(f"scale_factor must be above 1, got {self.scale_factor}.")
        check_at_least("n_levels", self.n_levels, 1)
        if not 0 <= self.fast_threshold <= 255:
            raise ConfigError(f"fast_threshold must lie in 0..255, got {self.fast_threshold}.")


class Orb:
    """ORB keypoints and descriptors, on the CPU.

    The 256 bits of a descriptor become -1/16 and 1/16: a unit vector, exact in float16, and the
    cosine of two is 1 - 2 Hamming / 256. Nearest neighbours and ratios of distances (1 - cosine)
    are those of the Hamming distance.
    """

    about: ClassVar[About] = About(
        summary="ORB by OpenCV: turned FAST corners with binary descriptors, very fast",
        licence="Apache-2.0 (OpenCV); no weights",
        paper="Rublee, Rabaud, Konolige, Bradski, ORB: an efficient alternative to SIFT or SURF, "
        "ICCV 2011",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size: ClassVar[int] = N_BITS
    weights_digest: ClassVar[str] = ""
    Options = OrbOptions

    def __init__(self, options: OrbOptions, device: str = "cpu") -> None:
        self.options = options

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, best score first.

        Scores are Harris or FAST responses, scales the radii of the patches described, in pixels.
        Nothing is found within 31 px of the border.
        """
        pixels = eight_bit(image, "ORB")
        height, width = pixels.shape
        most = self.options.top_k or pixels.size  # OpenCV reserves memory for as many
        orb = self._orb(most, self._levels(min(height, width)))
        found, packed = orb.detectAndCompute(pixels, None)
        if not found:
            return LocalFeatures.empty(N_BITS, (width, height))
        features = LocalFeatures(
            keypoints=_in_image(found, self.options.scale_factor, (width, height)),
            scores=values(found, "response"),
            descriptors=unit_descriptors(packed),
            image_size=(width, height),
            scales=values(found, "size") / 2,
            orientations=values(found, "angle"),
        )
        return features.select(best_first(features.scores, self.options.top_k))

    def _levels(self, side: int) -> int:
        """How many levels have a pixel: OpenCV fails on others."""
        sides = side / np.float64(self.options.scale_factor) ** np.arange(self.options.n_levels)
        return int((np.rint(sides) >= 1).sum())

    def _orb(self, most: int, n_levels: int) -> Any:
        scores = {"harris": cv2.ORB_HARRIS_SCORE, "fast": cv2.ORB_FAST_SCORE}
        return cv2.ORB_create(  # type: ignore[attr-defined]
            nfeatures=most,
            scaleFactor=self.options.scale_factor,
            nlevels=n_levels,
            scoreType=scores[self.options.score],
            fastThreshold=self.options.fast_threshold,
        )


def unit_descriptors(packed: np.ndarray) -> np.ndarray:
    """(N, 32) uint8 of 8 bits each -> (N, 256) float32 of -1/16 and 1/16."""
    bits = np.unpackbits(packed, axis=1).astype(np.float32)
    return (2 * bits - 1) / np.float32(np.sqrt(N_BITS))


def _in_image(found: Sequence[Any], factor: float, size: tuple[int, int]) -> np.ndarray:
    """(N, 2) float32 positions, pixel centre to pixel centre.

    OpenCV multiplies the pixel of a level by the level's factor, as if the corners of the images
    fell together at the first pixel's centre: up to 1.3 px beside the place at the eighth level.
    """
    level_scale = np.float64(factor) ** values(found, "octave").astype(int)[:, None]  # (N, 1)
    on_level = np.rint(places(found) / level_scale)
    level_size = np.rint(np.array(size) / level_scale)  # as OpenCV rounds it
    return np.asarray((on_level + 0.5) * (np.array(size) / level_size) - 0.5, np.float32)
