"""KP2D's training step (Tang et al., ICLR 2020, arXiv 1912.10615): KeypointNet and IO-Net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.catalogues import KP2D
from silk_sfm.nn.inlier_net import InlierNet
from silk_sfm.nn.kp2d import CELL, VARIANTS, KeypointNet, keypoint_places, load_kp2d, scale_input
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.weights import write_weights
from silk_sfm.training.kp2d_losses import Cells, Kp2dLossOptions, kp2d_loss, read_descriptors
from silk_sfm.training.method import Lesson
from silk_sfm.training.recipe import Training
from silk_sfm.training.sight import Seen, Sight, SightOptions, at_rest, compared, sight_figures
from silk_sfm.training.views import Views

LEAST_CELLS = 7
"""Of a row: `FEWEST` of a view must not be on its border."""
WORST_VERDICT = 100.0
"""Of IO-Net, where 1 or -1 is meant; beyond, all is lost."""


@dataclass(frozen=True)
class Kp2dModelOptions:
    """The network that is trained."""

    version: Literal["v0", "v1", "v2", "v3", "v4"] = "v4"
    """Of KeypointNet, as `silk-sfm extract --extractor kp2d --extractor.version` takes it."""
    start: str = ""
    """Weights to start from, a name or a file. Empty: from scratch. IO-Net always starts anew."""


@dataclass(frozen=True)
class Kp2dTraining(Training):
    """All that decides the result of a training of KP2D, besides the photos."""

    name: ClassVar[str] = "kp2d"
    model: Kp2dModelOptions = field(default_factory=Kp2dModelOptions)
    loss: Kp2dLossOptions = field(default_factory=Kp2dLossOptions)

    def __post_init__(self) -> None:
        self.schedule.check_cells(LEAST_CELLS, "fewer than 20 would not be on the border")

    @property
    def start(self) -> Path | None:
        """See `Training`."""
        return find_weights(self.model.start, catalogue=KP2D) if self.model.start else None

    def network(self) -> nn.Module:
        """See `Training`."""
        if self.model.start:
            return Kp2dPupil(load_kp2d(self.model.start, self.model.version))
        return Kp2dPupil(KeypointNet(VARIANTS[self.model.version]))

    def method(self, network: nn.Module) -> Kp2dMethod:
        """See `Training`."""
        return Kp2dMethod(cast("Kp2dPupil", network), self.loss)

    def save(self, network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
        """See `Training`. IO-Net is left out: no one needs it after training."""
        keypoints = cast("Kp2dPupil", network).keypoints
        write_weights(
            keypoints,
            path,
            {"method": self.name, "architecture": f"kp2d-{self.model.version}", **card},
        )


class Kp2dPupil(nn.Module):
    """KeypointNet, and IO-Net beside it: both are trained together."""

    def __init__(self, keypoints: KeypointNet) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.inliers = InlierNet()
        if not keypoints.variant.upsampled:
            keypoints.convFb.requires_grad_(False)  # it is there, but has no part in anything

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) RGB in 0..1 -> what KeypointNet gives."""
        maps: tuple[Tensor, Tensor, Tensor] = self.keypoints(scale_input(images))
        return maps


class Kp2dMethod:
    """See `Method`: location, descriptor and score losses, and IO-Net's."""

    score = "matching"
    channels: Literal["grey", "rgb"] = "rgb"
    cell = CELL
    margin = 0

    def __init__(self, network: Kp2dPupil, options: Kp2dLossOptions) -> None:
        self._inliers = network.inliers
        self._cross_border = network.keypoints.variant.cross_border
        self._options = options

    def worst_loss(self, cells: int) -> float:
        """Of descriptors that are opposite, and keypoints as far away as still counts."""
        options = self._options
        return (
            (options.location + 2 * options.score) * options.reach
            + options.descriptor * (2 + options.margin)
            + options.agreement
            + options.inliers * WORST_VERDICT**2
        )

    def learn(self, network: nn.Module, views: Views, generator: torch.Generator) -> Lesson:
        """See `Method`."""
        n = len(views.a)
        maps = self._cells(network, torch.cat([views.a, views.b]))
        a, b = (
            Cells(maps.scores[part], maps.places[part], maps.descriptors[part])
            for part in (slice(n), slice(n, None))
        )
        parts = kp2d_loss(a, b, views.a_to_b, self._inliers, self._options)
        figures = {name: value.detach() for name, value in vars(parts).items()}
        return Lesson(parts.total(self._options), figures)

    def judge(self, network: nn.Module, views: Views) -> dict[str, Tensor]:
        """See `Method`."""
        return sight_figures(self.look(network, views))

    @torch.no_grad()
    def look(self, network: nn.Module, views: Views) -> Sight:
        """See `Method`. The best keypoints by their score, but none of the outermost cells."""
        images = torch.stack([views.a[0], views.b[0]])
        options = SightOptions()
        with at_rest(network):
            cells = self._cells(network, images)
        k = min(options.n_keypoints, int(cells.inner().sum()))
        best = cells.flat_scores.topk(k, dim=1).indices
        xy = cells.xy.gather(1, best[..., None].expand(-1, -1, 2))
        descriptors = read_descriptors(cells, xy, self._options.sampling)
        fields = functional.normalize(cells.descriptors, dim=1)
        return compared(images, Seen([*xy], [*descriptors], fields), views, 0, options)

    def _cells(self, network: nn.Module, images: Tensor) -> Cells:
        scores, shifts, descriptors = (maps.float() for maps in network(images))
        places = torch.stack([keypoint_places(each, self._cross_border) for each in shifts])
        cells = Cells(scores, places, descriptors)
        return Cells(scores * cells.inner().reshape(scores.shape[2:]), places, descriptors)
