"""R2D2 keypoints and descriptors as an extractor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import isqrt
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.extractors.inputs import (
    check_keypoints,
    check_numbers,
    check_share,
    is_blank,
)
from silk_sfm.extractors.tensors import local_features, rgb_batch
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.catalogues import R2D2
from silk_sfm.nn.colours import normalise_colours
from silk_sfm.nn.published import find_weights, offer
from silk_sfm.nn.r2d2 import (
    DESCRIPTOR_SIZE,
    PATCH,
    REACH,
    SCALE_FACTOR,
    Level,
    Pyramid,
    load_r2d2,
    local_maxima,
)
from silk_sfm.nn.sampling import sample_unit
from silk_sfm.nn.state import file_digest
from silk_sfm.nn.windowed import Span, cut
from silk_sfm.options import check_at_least, neutral
from silk_sfm.plugins import About

MARGIN = REACH + 1
"""Of windows: the neighbours that a maximum is compared with are exact, too."""


@dataclass(frozen=True)
class R2d2Options:
    """R2D2: which weights, which scales, and which pixels become keypoints."""

    weights: str = neutral("r2d2-wasf-n16")  # a store names them by their digest
    """A file with R2D2's tensors (r2d2_WASF_N16.pt and its like), or the name `r2d2-wasf-n16`
    (CC BY-NC-SA 3.0, NON-COMMERCIAL), fetched at first use."""
    multi_scale: bool = True
    """Extract at several sizes of the image; otherwise at the size given, without other limits."""
    min_scale: float = 0.0
    """Smallest size, relative to the image."""
    max_scale: float = 1.0
    """Largest size, relative to the image, at most 1."""
    smallest_side: int = 256
    """Smallest size: pixels of the longer side (the paper's min_size). Smaller images are taken as
    they are."""
    largest_side: int = 1024
    """Largest size: pixels of the longer side (the paper's max_size). Where no size is within all
    limits, the image is taken as it is."""
    scale_factor: float = SCALE_FACTOR
    """Between two sizes; 2^(1/4) in the paper."""
    repeatability: float = 0.7
    """Keep keypoints that are at least this repeatable, in 0..1."""
    reliability: float = 0.7
    """Keep keypoints whose descriptors are at least this reliable, in 0..1."""
    top_k: int = 5000
    """Keep at most this many, the best ones of all sizes; 0 keeps all."""
    coordinates: Literal["exact", "original"] = "exact"
    """How pixels of a smaller size are mapped back. original: the published code's x * s, up to a
    pixel off at the smallest sizes."""
    window_pixels: int = neutral(1_000_000)
    """Work on at most this many pixels at a time, 1,600 bytes each; does not change results."""

    def __post_init__(self) -> None:
        check_numbers(self.top_k, self.window_pixels)
        for name in ("min_scale", "max_scale", "repeatability", "reliability"):
            check_share(name, getattr(self, name))
        check_at_least("smallest_side", self.smallest_side, 0)
        check_at_least("largest_side", self.largest_side, max(1, self.smallest_side))
        check_at_least("max_scale", self.max_scale, self.min_scale)
        check_at_least("scale_factor", self.scale_factor, 1.01)

    @property
    def pyramid(self) -> Pyramid:
        """The sizes that `multi_scale` extracts at."""
        return Pyramid(
            self.min_scale, self.max_scale, self.smallest_side, self.largest_side, self.scale_factor
        )


@dataclass(frozen=True, eq=False)
class _Found:
    """Keypoints of one size: (N, 2) x, y in its pixels, (N,) scores, (N, 128) descriptors."""

    xy: Tensor
    scores: Tensor
    descriptors: Tensor


class R2d2:
    """R2D2 on one image, at several scales unless told otherwise."""

    about: ClassVar[About] = About(
        summary="R2D2: keypoints chosen for repeatability and reliable descriptors, many scales",
        licence="Apache-2.0 (code); CC BY-NC-SA 3.0, NON-COMMERCIAL (weights)",
        paper="Revaud et al., R2D2: Repeatable and Reliable Detector and Descriptor, NeurIPS "
        "2019, arXiv 1906.06195",
        weights=offer(R2D2),
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "rgb"
    descriptor_size: ClassVar[int] = DESCRIPTOR_SIZE
    Options = R2d2Options

    def __init__(self, options: R2d2Options, device: str = "cpu") -> None:
        self.options = options
        self.weights_digest = file_digest(find_weights(options.weights, catalogue=R2D2))
        self.network = load_r2d2(options.weights).to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W, 3) float32 RGB image in 0..1, best score first.

        Scores are repeatability times reliability; scales are sides of the patches described.
        """
        pixels = self._pixels(image)
        size = image.shape[1], image.shape[0]
        if is_blank(image):
            return LocalFeatures.empty(DESCRIPTOR_SIZE, size)
        with torch.inference_mode():
            found = [self._in_image(each, level, size) for each, level in self._search(pixels)]
            xy, scores, descriptors, patches = (
                torch.cat(parts) for parts in zip(*found, strict=True)
            )
            order = torch.argsort(scores, descending=True, stable=True)
            order = order[: self.options.top_k] if self.options.top_k else order
            features = local_features(xy[order], scores[order], descriptors[order], image)
            return replace(features, scales=patches[order].cpu().numpy())

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, 128) float32 unit descriptors at (N, 2) float32 pixels of an (H, W, 3) RGB image.

        They are those of the size given, whatever `multi_scale` says.
        """
        check_keypoints(keypoints)
        pixels = self._pixels(image)
        height, width = image.shape[:2]
        last = torch.tensor([width - 1.0, height - 1.0], device=self._device)
        xy = torch.tensor(keypoints, device=self._device).clamp(min=0 * last, max=last)
        descriptors = torch.zeros(len(xy), DESCRIPTOR_SIZE, device=self._device)
        with torch.inference_mode():
            for row, column in self._windows(pixels):
                start = torch.tensor([column.kept, row.kept], device=self._device)
                end = torch.tensor([column.end, row.end], device=self._device)
                inside = ((xy >= start) & (xy < end)).all(dim=1)
                if inside.any():
                    maps = self.network(_crop(pixels, row, column))[2][0]
                    first = torch.tensor([column.first, row.first], device=self._device)
                    descriptors[inside] = sample_unit(maps, xy[inside] - first)
        return descriptors.cpu().numpy()

    def _pixels(self, image: np.ndarray) -> Tensor:
        pixels = rgb_batch(image, "R2D2", self._device)
        return normalise_colours(pixels)

    def _search(self, pixels: Tensor) -> Iterator[tuple[_Found, Level]]:
        """What is found at each size used."""
        for level in self._levels((pixels.shape[3], pixels.shape[2])):
            width, height = level.size
            if pixels.shape[2:] != (height, width):
                pixels = functional.interpolate(pixels, (height, width), mode="bilinear")
            if level.used:
                yield self._find(pixels), level

    def _levels(self, size: tuple[int, int]) -> list[Level]:
        if self.options.multi_scale:
            levels = self.options.pyramid.levels(size)
            if any(level.used for level in levels):
                return levels
        return [Level(size, 1.0, True)]

    def _find(self, pixels: Tensor) -> _Found:
        """The keypoints of one size, window by window."""
        parts = [self._find_in(pixels, row, column) for row, column in self._windows(pixels)]
        xy, scores, descriptors = (torch.cat(each) for each in zip(*parts, strict=True))
        return _Found(xy, scores, descriptors)

    def _find_in(self, pixels: Tensor, row: Span, column: Span) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.network(_crop(pixels, row, column))
        repeatability, reliability, descriptors = (each[0] for each in maps)
        found = local_maxima(repeatability[0])
        found &= repeatability[0] >= self.options.repeatability
        found &= reliability[0] >= self.options.reliability
        y, x = torch.nonzero(found[row.cells(1), column.cells(1)]).T
        y, x = y + row.kept - row.first, x + column.kept - column.first
        scores = reliability[0, y, x] * repeatability[0, y, x]
        xy = torch.stack([x + column.first, y + row.first], dim=1).float()
        return xy, scores, descriptors[:, y, x].T

    def _windows(self, pixels: Tensor) -> Iterator[tuple[Span, Span]]:
        height, width = pixels.shape[2:]
        whole = height * width <= self.options.window_pixels
        side = max(height, width) if whole else isqrt(self.options.window_pixels) - 2 * MARGIN
        side = max(1, side)
        return product(cut(height, side, 1, MARGIN), cut(width, side, 1, MARGIN))

    def _in_image(
        self, found: _Found, level: Level, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same keypoints in pixels of the image, and (N,) sides of their patches."""
        factor = torch.tensor(size) / torch.tensor(level.size)
        centre = 0.5 if self.options.coordinates == "exact" else 0.0
        xy = (found.xy + centre) * factor.to(self._device) - centre
        patches = torch.full_like(found.scores, PATCH / level.scale)
        return xy, found.scores, found.descriptors, patches


def _crop(pixels: Tensor, row: Span, column: Span) -> Tensor:
    return pixels[:, :, row.first : row.last, column.first : column.last]
