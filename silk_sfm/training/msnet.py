"""MSNet's training step (lin-zju/my-descriptor-space): a dense descriptor from pairs of views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from silk_sfm.nn.catalogues import MSNET
from silk_sfm.nn.colours import normalise_colours
from silk_sfm.nn.msnet import CELL, HARRIS_CENTRE, MsNetV0, corner_response, load_msnet
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.weights import write_weights
from silk_sfm.training.method import Lesson
from silk_sfm.training.msnet_losses import (
    MsNetLossOptions,
    contrastive_loss,
    read_descriptors,
)
from silk_sfm.training.places import distances, is_inside, move
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

SPACING = 8
"""Pixels between the places that validation asks for."""
TOLERANCE = 3.0
"""Pixels: so near to the true place an answer is right."""


@dataclass(frozen=True)
class MsNetModelOptions:
    """The network that is trained."""

    start: str = ""
    """Weights to start from, a file. Empty: from scratch."""


@dataclass(frozen=True)
class MsNetTraining(Training):
    """All that decides the result of a training of MSNet, besides the photos."""

    name: ClassVar[str] = "msnet"
    model: MsNetModelOptions = field(default_factory=MsNetModelOptions)
    loss: MsNetLossOptions = field(default_factory=MsNetLossOptions)

    def __post_init__(self) -> None:
        self.schedule.check_cells(self.loss.interval, "every `interval`-th of them could be none")

    @property
    def start(self) -> Path | None:
        """See `Training`."""
        return find_weights(self.model.start, catalogue=MSNET) if self.model.start else None

    def network(self) -> nn.Module:
        """See `Training`."""
        return load_msnet(self.model.start) if self.model.start else MsNetV0()

    def method(self, network: nn.Module) -> MsNetMethod:
        """See `Training`."""
        return MsNetMethod(self.loss)

    def save(self, network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
        """See `Training`."""
        write_weights(network, path, {"method": self.name, "architecture": "msnet-v0", **card})


class MsNetMethod:
    """See `Method`: the contrastive loss at random places."""

    score = "pck"
    channels: Literal["grey", "rgb"] = "rgb"
    cell = CELL
    margin = 0

    def __init__(self, options: MsNetLossOptions) -> None:
        self._options = options

    def worst_loss(self, cells: int) -> float:
        """Of descriptors that are opposite where they should be equal, and the other way round."""
        return 2 + self._options.margin

    def learn(self, network: nn.Module, views: Views, generator: torch.Generator) -> Lesson:
        """See `Method`."""
        n, options = len(views.a), self._options
        (maps,) = network(normalise_colours(torch.cat([views.a, views.b])))
        height, width = shape = (views.a.shape[2], views.a.shape[3])
        draws = torch.rand(n, options.points, 2, generator=generator, device=generator.device)
        xy_a = draws * (draws.new_tensor([width, height]) - 1)
        xy_b = move(views.a_to_b, xy_a)
        first = torch.randint(options.interval, (2,), generator=generator, device=generator.device)
        column, row = first.tolist()
        parts = contrastive_loss(
            maps[:n].float(),
            maps[n:].float(),
            xy_a,
            xy_b,
            is_inside(xy_b, (width, height)),
            (column, row),
            shape,
            options,
        )
        figures = {name: value.detach() for name, value in vars(parts).items()}
        return Lesson(parts.right + parts.wrong, figures)

    def judge(self, network: nn.Module, views: Views) -> dict[str, Tensor]:
        """See `Method`: how it matches Harris corners, and the share of places that it finds."""
        return {**sight_figures(self.look(network, views)), "pck": self._found(network, views)}

    @torch.no_grad()
    def look(self, network: nn.Module, views: Views) -> Sight:
        """See `Method`. The keypoints are Harris corners, as MSNet finds none itself."""
        images, options = torch.stack([views.a[0], views.b[0]]), SightOptions()
        maps = self._maps(network, images)
        corners = [
            torch.from_numpy(corner_response(each)) for each in images.mean(dim=1).cpu().numpy()
        ]
        xy = [detected_pixels(each, options).to(images) - HARRIS_CENTRE for each in corners]
        descriptors = [
            self._read(field, places, images) for field, places in zip(maps, xy, strict=True)
        ]
        return compared(images, Seen(xy, descriptors, maps), views, 0, options)

    @torch.no_grad()
    def _found(self, network: nn.Module, views: Views) -> Tensor:
        """() share of the places of a grid in a that are found among the same places of b."""
        images = torch.stack([views.a[0], views.b[0]])
        size = (images.shape[3], images.shape[2])
        maps = self._maps(network, images)
        steps = [torch.arange(SPACING // 2, side, SPACING, device=images.device) for side in size]
        xy_a = torch.stack(torch.meshgrid(*steps, indexing="xy"), dim=2).flatten(0, 1).to(images)
        xy_b = move(views.a_to_b[:1], xy_a[None])[0]
        seen = is_inside(xy_b, size)
        xy_a, xy_b = xy_a[seen], xy_b[seen]
        if len(xy_a) == 0:
            return images.new_zeros(())
        asked, known = self._read(maps[0], xy_a, images), self._read(maps[1], xy_b, images)
        answers = xy_b[distances(asked[None], known[None])[0].argmin(dim=1)]
        found: Tensor = ((answers - xy_b).norm(dim=1) <= TOLERANCE).float().mean()
        return found

    def _maps(self, network: nn.Module, images: Tensor) -> Tensor:
        with at_rest(network):
            (maps,) = network(normalise_colours(images))
        fields: Tensor = maps.float()
        return fields

    def _read(self, field: Tensor, xy: Tensor, images: Tensor) -> Tensor:
        """(D, h, w) descriptors at (N, 2) pixels -> (N, D)."""
        shape = (images.shape[2], images.shape[3])
        return read_descriptors(field[None], xy[None], shape, self._options.sampling)[0]
