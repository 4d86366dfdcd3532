"""SiLK's training step: Gleize et al. 2023 (arXiv 2304.06194), section 3."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import WeightsCard, load_silk, save_silk
from silk_sfm.options import check_at_least
from silk_sfm.training.correspondences import mutual_correspondences, warp_cells
from silk_sfm.training.losses import LossOptions, silk_loss
from silk_sfm.training.method import Lesson
from silk_sfm.training.recipe import Training
from silk_sfm.training.sight import Sight, SightOptions, look
from silk_sfm.training.views import Views

Backbone = Literal["pvgg-4", "pvgg-3", "pvgg-2", "pvgg-1", "pvgg-micro"]


@dataclass(frozen=True)
class ModelOptions:
    """The network that is trained."""

    backbone: Backbone = "pvgg-4"
    """Its shape, when it is trained from scratch."""
    descriptor_size: int = 0
    """Numbers in a descriptor. 0: as published for the backbone."""
    padding: Literal[0, 1] = 0
    """Of the 3x3 convolutions while training; the weights work with both."""
    start: str = ""
    """Weights to start from, a name or a file. Empty: from scratch."""

    def __post_init__(self) -> None:
        check_at_least("descriptor-size", self.descriptor_size, 0)
        if self.start and self.descriptor_size:
            raise ConfigError(
                "descriptor-size cannot be changed when training goes on from `start`."
            )


@dataclass(frozen=True)
class SilkTraining(Training):
    """All that decides the result of a training of SiLK, besides the photos."""

    name: ClassVar[str] = "silk"
    model: ModelOptions = field(default_factory=ModelOptions)
    loss: LossOptions = field(default_factory=LossOptions)

    @property
    def start(self) -> Path | None:
        """See `Training`."""
        return find_weights(self.model.start) if self.model.start else None

    def network(self) -> nn.Module:
        """See `Training`."""
        model = self.model
        if model.start:
            return load_silk(model.start, model.padding)
        architecture = ARCHITECTURES[model.backbone]
        if model.descriptor_size:
            architecture = dataclasses.replace(architecture, descriptor_size=model.descriptor_size)
        return SilkNetwork(architecture, model.padding)

    def method(self, network: nn.Module) -> SilkMethod:
        """See `Training`."""
        return SilkMethod(cast("SilkNetwork", network), self.loss)

    def save(self, network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
        """See `Training`."""
        written = WeightsCard(self.model.padding, card["licence"], card["training"])
        save_silk(cast("SilkNetwork", network), path, written)


class SilkMethod:
    """Descriptor and keypoint loss over all cells of both views, added with weight 1 each."""

    score = "f1"
    channels: Literal["grey", "rgb"] = "grey"
    cell = 1

    def __init__(self, network: SilkNetwork, options: LossOptions) -> None:
        self.margin = network.offset
        self._scale = float(network.descriptor_scale)
        self._options = options

    def worst_loss(self, cells: int) -> float:
        """Of descriptors that are opposite where they should be equal, in both directions.

        The keypoint loss is small beside it, unless the logits run away.
        """
        spread = 2 * self._scale**2 / self._options.temperature
        return 2 * (spread + math.log(cells**2))

    def learn(self, network: nn.Module, views: Views, generator: torch.Generator) -> Lesson:
        """See `Method`. Both views are one batch, so that batch statistics are over both."""
        n = len(views.a)
        logits, raw = network(torch.cat([views.a, views.b]))
        shape = (logits.shape[2], logits.shape[3])
        to_b, to_a = cell_matches(views.a_to_b, self.margin, shape)
        scores = logits.float().flatten(1)
        flat = raw.float().flatten(2).transpose(1, 2)
        descriptors = functional.normalize(flat, dim=2) * self._scale
        parts = silk_loss(
            scores[:n], scores[n:], descriptors[:n], descriptors[n:], to_b, to_a, self._options
        )
        figures = {name: value.detach() for name, value in vars(parts).items()}
        return Lesson(parts.descriptor + parts.keypoint, figures)

    def judge(self, network: nn.Module, views: Views) -> Mapping[str, Tensor]:
        """See `Method`: none, the losses' own figures say enough."""
        return {}

    def look(self, network: nn.Module, views: Views) -> Sight:
        """See `Method`."""
        return look(network, views, self.margin, SightOptions())


def cell_matches(a_to_b: Tensor, margin: int, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(N, 3, 3) homographies between pixels -> mutual correspondences of cells, both ways.

    margin: cell (0, 0) lies on pixel (margin, margin)
    """
    shift = torch.eye(3, dtype=torch.float64, device=a_to_b.device)
    shift[:2, 2] = margin
    back = torch.eye(3, dtype=torch.float64, device=a_to_b.device)
    back[:2, 2] = -margin
    to_b = back @ a_to_b @ shift
    to_a = torch.linalg.inv_ex(to_b)[0]  # unlike `inv`, it does not wait for a device
    return mutual_correspondences(warp_cells(to_b, shape), warp_cells(to_a, shape), shape, shape)
