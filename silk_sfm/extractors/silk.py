"""SiLK keypoints and descriptors as an extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.extractors.inputs import check_keypoints
from silk_sfm.features import LocalFeatures
from silk_sfm.images import check_grey
from silk_sfm.nn.detection import REMOVED, DetectionOptions, detect_logits, refine
from silk_sfm.nn.flat import constant_around
from silk_sfm.nn.inference import Arithmetic, inference_for
from silk_sfm.nn.published import SILK_CATALOGUE, offer
from silk_sfm.nn.tiling import TiledSilk
from silk_sfm.nn.weights import load_silk, weights_digest
from silk_sfm.options import check_at_least, check_choice, neutral
from silk_sfm.plugins import About

UNCERTAINTY_PX = 1.0
"""The unit in which thresholds of later stages count, as in hloc: one pixel of the image given."""

SMALLEST_TILE = 64 * 64


@dataclass(frozen=True)
class SilkOptions(DetectionOptions):
    """SiLK: which weights, and which of their detections become keypoints."""

    weights: str = neutral("silk")  # a store names them by their digest
    """A .safetensors or .ckpt file, or a name: `silk`, or the small and fast `silk-micro` (ours, in
    the package, Apache-2.0), or the authors' `pvgg-4`, `pvgg-1`, `pvgg-micro`, `coco-rgb-aug`
    (GPL-3.0, fetched when first used)."""
    padding: Literal[0, 1] = 0
    """Of the convolutions: 0 finds nothing within 9 px (pvgg-4) of the border, 1 finds keypoints up
    to the border, less repeatable ones there."""
    arithmetic: Arithmetic = "float32"
    """Of the convolutions. bfloat16 takes half the time on a CPU that computes with it (AMX,
    AVX512-BF16) and is meant for GPUs; it moves some keypoints. Elsewhere it is slower."""
    tile_pixels: int | None = neutral(None)
    """An image of at most so many pixels is seen whole, a larger one in tiles of half of that, on a
    CPU up to 8 side by side; bounds memory (about 1 KB a pixel seen at a time), does not change
    results. None: what is fastest, 81,920 of pvgg-4 on a CPU, 2,000,000 on a GPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding not in (0, 1):
            raise ConfigError(f"padding must be 0 or 1, got {self.padding}.")
        check_choice("arithmetic", self.arithmetic, Arithmetic)
        if self.tile_pixels is not None:
            check_at_least("tile_pixels", self.tile_pixels, SMALLEST_TILE)


@dataclass(frozen=True, eq=False)
class SilkView:
    """What the network saw in one image.

    tiled: gives descriptors at chosen cells
    logits: (h, w) keypoint logits
    informative: the same, -inf where the receptive field has one constant value
    image_shape: (height, width) in pixels
    """

    tiled: TiledSilk
    logits: Tensor
    informative: Tensor
    image_shape: tuple[int, ...]


class Silk:
    """SiLK on one image; large images are done in tiles, with the same result."""

    about: ClassVar[About] = About(
        summary="SiLK: learned keypoints and descriptors at full resolution",
        licence="Apache-2.0 (weights `silk`); GPL-3.0 (the authors' weights)",
        paper="Gleize, Wang, Feiszli: SiLK, Simple Learned Keypoints. ICCV 2023, arXiv 2304.06194",
        weights=offer(SILK_CATALOGUE),
        descriptor="128 numbers, 32 of pvgg-micro",
    )
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    Options = SilkOptions

    def __init__(self, options: SilkOptions, device: str = "cpu") -> None:
        self.options = options
        self.weights_digest = weights_digest(options.weights)
        self.network = load_silk(options.weights, options.padding).to(device)
        self.inference = inference_for(self.network, options.arithmetic)
        self.descriptor_size = self.network.architecture.descriptor_size
        self._device = torch.device(device)
        self._tile_pixels = options.tile_pixels or self.inference.tile_pixels

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        """Features of an (H, W) float32 grey image in 0..1, best score first.

        Scores are probabilities, descriptors have length 1. Keypoints are in the image's pixels;
        places that see only one constant value are none. Raises ImageError when the image is
        smaller than the receptive field or not in 0..1.
        """
        return self.choose(self.look(image), self.options)

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """(N, D) float32 descriptors of length 1 at (N, 2) pixels (x, y) of the image.

        Bilinear between the four cells around a keypoint; the map of all descriptors is never made.
        A keypoint beyond the map (9 px from the border without padding) gets the nearest cell's.
        Raises ImageError as a call does.
        """
        self._check(image)
        check_keypoints(keypoints)
        with torch.inference_mode():
            pixels = torch.tensor(image, device=self._device)
            tiled = TiledSilk(self.inference, pixels, self._tile_pixels)
            yx = torch.tensor(keypoints[:, ::-1].copy(), device=self._device) - self.network.offset
            return np.asarray(_between_cells(tiled, yx).cpu().numpy())

    def look(self, image: np.ndarray) -> SilkView:
        """The network's view of an image, from which keypoints can be chosen in several ways."""
        self._check(image)
        with torch.inference_mode():
            pixels = torch.tensor(image, device=self._device)
            tiled = TiledSilk(self.inference, pixels, self._tile_pixels, self.options)
            logits = tiled.logits()
            return SilkView(tiled, logits, self._informative(logits, pixels), image.shape)

    def choose(self, view: SilkView, options: DetectionOptions) -> LocalFeatures:
        """Features at the keypoints that `options` choose."""
        with torch.inference_mode():
            scores = view.logits.flatten()
            cells = detect_logits(view.informative, options)
            rows, columns = cells // view.tiled.width, cells % view.tiled.width
            raw = view.tiled.raw_descriptors_at(rows, columns)  # neighbours after each other
            best_first = torch.argsort(scores[cells], descending=True, stable=True)
            cells, rows, columns, raw = (each[best_first] for each in (cells, rows, columns, raw))
            yx = torch.stack([rows, columns], dim=1) + float(self.network.offset)
            if options.refine:
                yx += refine(view.logits, cells)
            height, width = view.image_shape
            return LocalFeatures(
                keypoints=yx.flip(1).cpu().numpy(),
                scores=torch.sigmoid(scores[cells]).cpu().numpy(),
                descriptors=functional.normalize(raw, dim=1).cpu().numpy(),
                image_size=(width, height),
                uncertainty=UNCERTAINTY_PX,
            )

    def _informative(self, logits: Tensor, image: Tensor) -> Tensor:
        """The logits without the cells whose whole receptive field has one value."""
        flat = constant_around(image, self.network.architecture.reach)
        offset = self.network.offset
        height, width = image.shape
        flat = flat[offset : height - offset, offset : width - offset]  # (h, w)
        return logits.masked_fill(flat, REMOVED)

    def _check(self, image: np.ndarray) -> None:
        check_grey(image, "SiLK")
        height, width = image.shape
        least = self.network.architecture.receptive_field
        if min(height, width) < least:
            raise ImageError(
                f"{width} x {height} px is smaller than the {least} x {least} px that SiLK sees "
                f"at once; leave the image out or enlarge it."
            )


def _between_cells(tiled: TiledSilk, yx: Tensor) -> Tensor:
    """(N, D) unit descriptors at (N, 2) float positions (row, column) on the map of cells."""
    last = yx.new_tensor([tiled.height - 1, tiled.width - 1])
    yx = yx.clamp(min=torch.zeros_like(last), max=last)
    corners = yx.new_tensor([(0, 0), (0, 1), (1, 0), (1, 1)])[:, None]  # (4, 1, 2)
    first = yx.floor()
    weights = (1 - corners - (yx - first)).abs().prod(dim=2, keepdim=True)  # (4, N, 1)
    cells = torch.minimum(first + corners, last).long().flatten(0, 1)  # (4 N, 2)
    unit = functional.normalize(tiled.raw_descriptors_at(cells[:, 0], cells[:, 1]), dim=1)
    return functional.normalize((weights * unit.view(4, len(yx), unit.shape[1])).sum(dim=0), dim=1)
