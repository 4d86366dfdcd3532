"""The SiLK network and its outputs (Gleize, Wang, Feiszli, ICCV 2023, arXiv 2304.06194)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.blocks import Block, Head
from silk_sfm.nn.detection import DetectionOptions, detect_logits, refine

OutputName = Literal[
    "features",
    "logits",
    "probability",
    "raw_descriptors",
    "dense_positions",
    "dense_descriptors",
    "sparse_positions",
    "sparse_descriptors",
]
OUTPUT_NAMES: tuple[OutputName, ...] = get_args(OutputName)
"""In the order they are computed: sparse outputs read from dense maps that exist already."""

Output = Tensor | tuple[Tensor, ...]

PUBLISHED_SCALE = 1.41
"""Length of a descriptor in the published weights; training and double softmax depend on it."""


class SilkNetwork(nn.Module):
    """Backbone, detector head and descriptor head; images are (N, 1, H, W) float32 grey in 0..1.

    padding: 0 or 1, for all 3x3 convolutions. Weights fit both; with 0 the maps are `reach` cells
    smaller on each side, with 1 they have the size of the image.
    """

    descriptor_scale: Tensor
    """() float32: length of the descriptors that `dense_` and `sparse_descriptors` return."""

    def __init__(
        self,
        architecture: Architecture,
        padding: int = 0,
        descriptor_scale: float = PUBLISHED_SCALE,
    ) -> None:
        super().__init__()
        if padding not in (0, 1):
            raise ValueError(f"padding must be 0 or 1, got {padding}.")
        self.architecture = architecture
        self.padding = padding
        self.register_buffer("descriptor_scale", torch.tensor(descriptor_scale))
        self.stages = nn.Sequential(*_stages(architecture, padding))
        width = architecture.stage_channels[-1]
        self.detector = Head(width, architecture.detector_hidden, 1, padding)
        self.descriptor = Head(
            width, architecture.descriptor_hidden, architecture.descriptor_size, padding
        )
        _lay_channels_last(self)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.descriptor_scale.device

    @property
    def offset(self) -> int:
        """Cell (row, column) of an output map lies on pixel (row + offset, column + offset)."""
        return round(-self.architecture.output_mapping(self.padding).bias)

    def backbone(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) grey in 0..1 -> (N, C, h, w) features that both heads read."""
        features: Tensor = self.stages(image)
        return features

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) -> logits (N, 1, h, w) and raw descriptors (N, D, h, w), for training."""
        features = self.backbone(image)
        return self.detector(features), self.descriptor(features)

    def look(self, image: Tensor, detection: DetectionOptions | None = None) -> SilkOutputs:
        """All outputs of `image`, each computed when it is first read."""
        return SilkOutputs(self, image, detection or DetectionOptions())

    def outputs(
        self, image: Tensor, names: Sequence[str], detection: DetectionOptions | None = None
    ) -> dict[str, Output]:
        """The named outputs, in the order asked; computes only what they need.

        Raises ValueError that lists the names when one is unknown.
        """
        unknown = [name for name in names if name not in OUTPUT_NAMES]
        if unknown:
            raise ValueError(f"No output {unknown[0]!r}; there are {', '.join(OUTPUT_NAMES)}.")
        look = self.look(image, detection)
        found = {name: getattr(look, name) for name in OUTPUT_NAMES if name in names}
        return {name: found[cast("OutputName", name)] for name in names}


def _stages(architecture: Architecture, padding: int) -> list[nn.Sequential]:
    channels = (1, *architecture.stage_channels)
    return [
        nn.Sequential(Block(before, after, padding), Block(after, after, padding))
        for before, after in pairwise(channels)
    ]


def _lay_channels_last(network: nn.Module) -> None:
    """Store the convolutions' weights channels last, and maps follow: twice as fast on a CPU."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


class SilkOutputs:
    """The outputs of one batch, each computed at most once, when it is first read.

    Positions are (y, x, probability) on the maps, the centre of the first cell at (0.5, 0.5), as in
    the paper. (The original zeroes a border of `probability` when sparse positions are asked for
    at the same time; here outputs never change each other.)
    """

    def __init__(self, network: SilkNetwork, image: Tensor, detection: DetectionOptions) -> None:
        self._network = network
        self._image = image
        self._detection = detection

    @cached_property
    def features(self) -> Tensor:
        """(N, C, h, w), one more cell on each side than the other maps when padding is 0."""
        return self._network.backbone(self._image)

    @cached_property
    def logits(self) -> Tensor:
        """(N, 1, h, w) keypoint scores before the sigmoid."""
        logits: Tensor = self._network.detector(self.features)
        return logits

    @cached_property
    def probability(self) -> Tensor:
        """(N, 1, h, w) sigmoid of the logits."""
        return torch.sigmoid(self.logits)

    @cached_property
    def raw_descriptors(self) -> Tensor:
        """(N, D, h, w) descriptors as the head gives them, of any length."""
        raw: Tensor = self._network.descriptor(self.features)
        return raw

    @cached_property
    def dense_positions(self) -> Tensor:
        """(N, h w, 3) every cell in row-major order: y, x, probability."""
        n_images, _, height, width = self.probability.shape
        cells = torch.arange(height * width, device=self._image.device)
        positions = _positions(cells, width, self.probability[0, 0])[:, :2]  # (h w, 2)
        scores = self.probability.reshape(n_images, -1, 1)
        return torch.cat([positions.expand(n_images, -1, 2), scores], dim=2)

    @cached_property
    def dense_descriptors(self) -> Tensor:
        """(N, h w, D) descriptors of length `descriptor_scale`, in row-major order."""
        return self._scaled(self.raw_descriptors.flatten(2).transpose(1, 2))

    @cached_property
    def sparse_positions(self) -> tuple[Tensor, ...]:
        """(K, 3) of each image: the detections in row-major order: y, x, probability."""
        return tuple(map(self._detections, self.logits[:, 0], self._cells))

    @cached_property
    def sparse_descriptors(self) -> tuple[Tensor, ...]:
        """(K, D) of each image: descriptors of length `descriptor_scale`, one per detection."""
        dense = self.raw_descriptors.flatten(2)  # (N, D, h w)
        return tuple(
            self._scaled(raw[:, cells].T) for raw, cells in zip(dense, self._cells, strict=True)
        )

    @cached_property
    def _cells(self) -> tuple[Tensor, ...]:
        return tuple(detect_logits(logits, self._detection) for logits in self.logits[:, 0])

    def _detections(self, logits: Tensor, cells: Tensor) -> Tensor:
        positions = _positions(cells, logits.shape[1], torch.sigmoid(logits))
        if self._detection.refine:
            positions[:, :2] += refine(logits, cells)
        return positions

    def _scaled(self, raw: Tensor) -> Tensor:
        return functional.normalize(raw, dim=-1) * self._network.descriptor_scale


def _positions(cells: Tensor, width: int, scores: Tensor) -> Tensor:
    """(K,) row-major cells of an (h, w) map of scores -> (K, 3) y, x, score; centres at 0.5."""
    rows, columns = cells // width + 0.5, cells % width + 0.5
    return torch.stack([rows, columns, scores.flatten()[cells]], dim=1)
