"""SiLK as one graph: an image in, a fixed number of keypoints out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.nn.detection import REMOVED
from silk_sfm.nn.flat import constant_around
from silk_sfm.nn.silk import SilkNetwork

ROUNDS = 16
"""Of suppression: a graph cannot stop when nothing changes any more. Photos of 500 px needed 10 to
16 rounds at radius 4, up to 17 at radius 2; what comes late is the weak end of a chain."""


@dataclass(frozen=True)
class GraphOptions:
    """What is fixed in a graph."""

    n_keypoints: int = 2048
    """Rows that come out; those that are no keypoint have score 0."""
    nms_radius: int = 4
    """Keep only the best keypoint of each square of (2 nms_radius + 1) pixels; 0 = off."""
    refine: bool = True
    """Move keypoints by up to half a pixel to the top of a parabola through the scores."""

    def __post_init__(self) -> None:
        if self.n_keypoints < 1 or self.nms_radius < 0:
            raise ConfigError(
                "n_keypoints must be at least 1 and nms_radius at least 0, "
                f"got {self.n_keypoints} and {self.nms_radius}."
            )


class ExtractorGraph(nn.Module):
    """The extractor `silk` without tiles: the same keypoints, best first, in a fixed number.

    The height and width of the image are free, down to 24 px (pvgg-4: its receptive field and 5
    more). All maps are in memory at once.
    """

    def __init__(self, network: SilkNetwork, options: GraphOptions) -> None:
        super().__init__()
        self.network = network.eval()
        self.options = options

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, 1, H, W) float32 grey in 0..1 -> K keypoints of the image, best score first.

        Returns (K, 2) float32 pixels (x, y), centre of the top-left pixel at (0, 0); (K,) float32
        probabilities, 0 in rows that are no keypoint; (K, D) float32 descriptors of length 1.
        """
        logits_map, raw = self.network(image)
        logits = logits_map[0, 0]  # (h, w)
        width = logits.shape[1]
        kept = suppress_in_rounds(self._informative(logits, image[0, 0]), self.options.nms_radius)
        best, cells = top_padded(kept.flatten(), self.options.n_keypoints)
        rows = cells // width
        xy = torch.stack([cells - rows * width, rows], dim=1) + float(self.network.offset)
        if self.options.refine:
            xy = xy + parabola_tops(logits).flatten(1)[:, cells].T
        descriptors = functional.normalize(raw[0].flatten(1)[:, cells].T, dim=1)
        return xy, torch.sigmoid(best), descriptors

    def _informative(self, logits: Tensor, image: Tensor) -> Tensor:
        """The logits without the cells whose whole receptive field has one value."""
        flat = constant_around(image, self.network.architecture.reach)
        offset = self.network.offset
        height, width = image.shape
        return torch.where(flat[offset : height - offset, offset : width - offset], REMOVED, logits)


def suppress_in_rounds(scores: Tensor, radius: int) -> Tensor:
    """(H, W) scores, -inf where a better one is in the (2 radius + 1) square around.

    Greedy suppression from the best score down, as `nn.detection` has it, in ROUNDS rounds; of
    equal neighbours all stay. What is undecided after the last round goes.
    """
    if radius == 0:
        return scores
    side = 2 * radius + 1
    alive = undecided = scores  # -inf: out, resp. decided
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for _ in range(ROUNDS):
        largest = functional.max_pool2d(alive[None, None], side, 1, radius)[0, 0]
        kept = kept | ((alive == largest) & (undecided > REMOVED))
        near = functional.max_pool2d(kept[None, None].float(), side, 1, radius)[0, 0] > 0
        alive = torch.where(near & ~kept, REMOVED, alive)
        undecided = torch.where(near, REMOVED, undecided)
    return torch.where(kept, scores, REMOVED)


def top_padded(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of (N,) scores and their indices; -inf and 0 where there are no more."""
    padded = torch.cat([scores, scores.new_full((count,), REMOVED)])
    best, cells = padded.topk(count)
    return best, torch.where(best > REMOVED, cells, 0)


def parabola_tops(logits: Tensor) -> Tensor:
    """(2, h, w) offsets in x and y within ±0.5, for every cell what `nn.detection.refine` gives."""
    x = _top(logits)
    y = _top(logits.T).T
    return torch.stack([x, y])


def _top(logits: Tensor) -> Tensor:
    """Along rows; with neighbours a, c of b: top = (a - c) / (2 (a - 2 b + c)); 0 at the ends."""
    before, here, after = logits[:, :-2], logits[:, 1:-1], logits[:, 2:]
    bend = before - 2 * here + after
    top = (before - after) / (2 * torch.where(bend < 0, bend, -1.0))
    return functional.pad(torch.where(bend < 0, top, 0.0).clamp(-0.5, 0.5), (1, 1))
