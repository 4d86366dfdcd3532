"""What the training loop asks of a method: a network, and what it learns from a pair of views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from silk_sfm.training.sight import Sight
from silk_sfm.training.views import Views


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a method makes of a batch.

    loss: () what is minimised
    figures: () each, without gradient: what is logged, by name
    """

    loss: Tensor
    figures: Mapping[str, Tensor]


class Method(Protocol):
    """A self-supervised method."""

    score: str
    """The figure by which its checkpoints are ranked; larger is better."""
    channels: Literal["grey", "rgb"]
    """What its views show."""
    cell: int
    """Pixels a side of a cell of the maps that the network makes of a view."""
    margin: int
    """A view has this many pixels more on each side than these maps."""

    def worst_loss(self, cells: int) -> float:
        """The largest loss that is possible on maps of cells x cells; above it, all is lost."""

    def learn(self, network: nn.Module, views: Views, generator: torch.Generator) -> Lesson:
        """The loss of a batch of views, (N, 1 or 3, S, S) in `views.a` and `views.b`.

        network: the method's own, maybe wrapped for several processes
        """

    def judge(self, network: nn.Module, views: Views) -> Mapping[str, Tensor]:
        """More figures, for validation: of the first pair, () each, by name."""

    def look(self, network: nn.Module, views: Views) -> Sight:
        """What the network sees in the first pair, for pictures."""
