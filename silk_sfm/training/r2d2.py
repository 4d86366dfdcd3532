"""R2D2's training step (Revaud et al., NeurIPS 2019, arXiv 1906.06195)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from silk_sfm.nn.catalogues import R2D2
from silk_sfm.nn.colours import normalise_colours
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.r2d2 import R2d2Network, load_r2d2
from silk_sfm.nn.weights import write_weights
from silk_sfm.training.method import Lesson
from silk_sfm.training.places import is_inside, move, read_maps
from silk_sfm.training.r2d2_losses import (
    R2d2LossOptions,
    average_precision,
    peakiness_loss,
    reliability_loss,
    similarity_loss,
)
from silk_sfm.training.r2d2_sampler import Described, Queries, compare, draw_pixels
from silk_sfm.training.recipe import Training
from silk_sfm.training.sight import (
    Seen,
    Sight,
    SightOptions,
    at_rest,
    compared,
    detected_pixels,
    sight_figures,
)
from silk_sfm.training.views import Views


@dataclass(frozen=True)
class R2d2ModelOptions:
    """The network that is trained."""

    start: str = ""
    """Weights to start from, a name or a file. Empty: from scratch."""


@dataclass(frozen=True)
class R2d2Training(Training):
    """All that decides the result of a training of R2D2, besides the photos."""

    name: ClassVar[str] = "r2d2"
    model: R2d2ModelOptions = field(default_factory=R2d2ModelOptions)
    loss: R2d2LossOptions = field(default_factory=R2d2LossOptions)

    def __post_init__(self) -> None:
        least = max(2 * self.loss.border, self.loss.patch) + 1
        self.schedule.check_cells(least, "of `border` and `patch` nothing would be left")

    @property
    def start(self) -> Path | None:
        """See `Training`."""
        return find_weights(self.model.start, catalogue=R2D2) if self.model.start else None

    def network(self) -> nn.Module:
        """See `Training`."""
        return load_r2d2(self.model.start) if self.model.start else R2d2Network()

    def method(self, network: nn.Module) -> R2d2Method:
        """See `Training`."""
        return R2d2Method(self.loss)

    def save(self, network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
        """See `Training`."""
        write_weights(network, path, {"method": self.name, "architecture": "r2d2", **card})


class R2d2Method:
    """See `Method`: repeatability of keypoints, reliability of descriptors."""

    score = "matching"
    channels: Literal["grey", "rgb"] = "rgb"
    cell = 1
    margin = 0

    def __init__(self, options: R2d2LossOptions) -> None:
        self._options = options

    def worst_loss(self, cells: int) -> float:
        """None of the losses can be above 1."""
        return self._options.reliability + self._options.similarity + self._options.peakiness

    def learn(self, network: nn.Module, views: Views, generator: torch.Generator) -> Lesson:
        """See `Method`."""
        n, options = len(views.a), self._options
        images = normalise_colours(torch.cat([views.a, views.b]))
        repeatability, reliability, descriptors = (maps.float() for maps in network(images))
        rows, sides = queries(views, options, generator), (slice(n), slice(n, None))
        a, b = (Described(descriptors[side], reliability[side]) for side in sides)
        samples = compare(a, b, rows, options)
        precision = average_precision(samples.scores, samples.right, samples.counted, options.bins)
        moved, visible = into_a(repeatability[n:], views.a_to_b)
        parts = {
            "reliability": reliability_loss(precision, samples.reliability, options.base),
            "similarity": similarity_loss(repeatability[:n], moved, visible, options.patch),
            "peakiness": peakiness_loss(repeatability, options.patch, options.edges),
        }
        weighted = [getattr(options, name) * loss for name, loss in parts.items()]
        figures = {name: loss.detach() for name, loss in parts.items()}
        mean = precision.detach().sum() / max(len(precision), 1)
        return Lesson(torch.stack(weighted).sum(), {**figures, "precision": mean})

    def judge(self, network: nn.Module, views: Views) -> dict[str, Tensor]:
        """See `Method`."""
        return sight_figures(self.look(network, views))

    @torch.no_grad()
    def look(self, network: nn.Module, views: Views) -> Sight:
        """See `Method`. The best keypoints by repeatability times reliability, at one scale."""
        images, options = torch.stack([views.a[0], views.b[0]]), SightOptions()
        with at_rest(network):
            maps = network(normalise_colours(images))
        repeatability, reliability, fields = (each.float() for each in maps)
        xy = [detected_pixels(each[0], options) for each in repeatability * reliability]
        descriptors = [
            field[:, y, x].T for field, (x, y) in zip(fields, (one.T for one in xy), strict=True)
        ]
        return compared(images, Seen(xy, descriptors, fields), views, 0, options)


def queries(views: Views, options: R2d2LossOptions, generator: torch.Generator) -> Queries:
    """Random pixels of the views a that the views b show, and random distractors."""
    n, _, height, width = views.a.shape
    xy = draw_pixels((height, width), options, generator).repeat(n, 1, 1)  # (N, q, 2)
    truth = (move(views.a_to_b, xy.double()) + 0.5).floor().long()
    inside = ((truth >= 0) & (truth < truth.new_tensor([width, height]))).all(dim=2)
    return Queries(
        inside.nonzero()[:, 0],
        xy[inside],
        truth[inside],
        draw_pixels((height, width), options, generator),
    )


def into_a(maps: Tensor, a_to_b: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1, H, W) maps of b as seen from a, and which of their pixels b shows."""
    n, _, height, width = maps.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=maps.device),
        torch.arange(width, device=maps.device),
        indexing="ij",
    )
    pixels = torch.stack([x, y], dim=2).flatten(0, 1).to(maps)  # (H W, 2)
    places = move(a_to_b, pixels.expand(n, -1, -1))
    shape = (n, 1, height, width)
    return read_maps(maps, places).reshape(shape), is_inside(places, (width, height)).reshape(shape)
