"""What a network sees in a pair of views: keypoints, matches, and descriptors as colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.geometry.homography import apply_homography
from silk_sfm.matching.mutual import mutual_nearest
from silk_sfm.nn.detection import DetectionOptions, detect_logits
from silk_sfm.training.views import Views

SPREAD = (0.01, 0.99)
"""Shares of the values of a colour that are darker than its darkest and its brightest level."""


@dataclass(frozen=True)
class SightOptions:
    """Which keypoints are looked at, and when they are right."""

    n_keypoints: int = 150
    """The best of each view."""
    nms_radius: int = 4
    """Cells: keypoints are the best in a square of twice that size."""
    tolerance: float = 3.0
    """Pixels: so near to the true place a keypoint or a match is right."""


@dataclass(frozen=True, eq=False)
class Sighted:
    """One view.

    image: (S, S) float32 grey in 0..1
    keypoints: (N, 2) float64 pixels
    shared: (N,) bool: the other view shows the place, so that a keypoint could be there
    repeated: (N,) bool: a keypoint is there
    colours: (h, w, 3) uint8: main components of the descriptors, the same ones in both views
    """

    image: np.ndarray
    keypoints: np.ndarray
    shared: np.ndarray
    repeated: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True, eq=False)
class Sight:
    """Two views of one photo through a network.

    matches: (M, 2) int64 mutual nearest neighbours, row (i, j): keypoint i of a, keypoint j of b
    right: (M,) bool
    """

    a: Sighted
    b: Sighted
    matches: np.ndarray
    right: np.ndarray


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network finds in both views of a pair.

    xy: (N, 2) and (M, 2) keypoints, pixels
    descriptors: (N, D) and (M, D) theirs, of length 1
    fields: (2, D, h, w) descriptors of whole views, of length 1
    """

    xy: Sequence[Tensor]
    descriptors: Sequence[Tensor]
    fields: Tensor


@torch.no_grad()
def look(network: nn.Module, views: Views, margin: int, options: SightOptions) -> Sight:
    """What `network` makes of the first pair of `views`, grey ones.

    network: returns logits (N, 1, h, w) and descriptors (N, D, h, w) of any length
    margin: cell (0, 0) lies on pixel (margin, margin)
    """
    images = torch.stack([views.a[0], views.b[0]])  # (2, 1, S, S)
    with at_rest(network):
        logits, raw = network(images)
    fields = functional.normalize(raw.float(), dim=1)
    cells = [detected_pixels(scores.float(), options) for scores in logits[:, 0]]
    descriptors = [
        field[:, y, x].T for field, (x, y) in zip(fields, (one.T for one in cells), strict=True)
    ]
    seen = Seen([chosen + margin for chosen in cells], descriptors, fields)
    return compared(images, seen, views, margin, options)


def compared(images: Tensor, seen: Seen, views: Views, margin: int, options: SightOptions) -> Sight:
    """What is right in two views (2, C, S, S) of the first pair.

    margin: pixels along the borders in which no keypoint can be
    """
    a, b = (xy.double().cpu().numpy() for xy in seen.xy)
    a_to_b = views.a_to_b[0].cpu().numpy()
    a_in_b, b_in_a = apply_homography(a_to_b, a), apply_homography(np.linalg.inv(a_to_b), b)
    grey = images.float().mean(dim=1).cpu().numpy()
    colours = principal_colours(seen.fields).cpu().numpy()
    matches = _matched(*seen.descriptors)
    errors = np.linalg.norm(a_in_b[matches[:, 0]] - b[matches[:, 1]], axis=1)
    inside = (margin, np.array(images.shape[:1:-1]) - 1 - margin)
    return Sight(
        Sighted(grey[0], a, *_found(a_in_b, b, inside, options.tolerance), colours[0]),
        Sighted(grey[1], b, *_found(b_in_a, a, inside, options.tolerance), colours[1]),
        matches,
        errors <= options.tolerance,
    )


def sight_figures(sight: Sight) -> dict[str, Tensor]:
    """How good keypoints and descriptors are, () each, 0..1.

    repeatability: share of the keypoints that the other view could show that are keypoints there
    matching: right matches over these keypoints, of the view that has fewer
    """
    views = (sight.a, sight.b)
    shared, repeated = (
        [int(getattr(view, name).sum()) for view in views] for name in ("shared", "repeated")
    )
    right = int((sight.right & sight.a.shared[sight.matches[:, 0]]).sum())
    return {
        "repeatability": torch.tensor(sum(repeated) / max(1, sum(shared))),
        "matching": torch.tensor(min(1.0, right / max(1, min(shared)))),
    }


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Batch statistics stay as they are."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def detected_pixels(scores: Tensor, options: SightOptions) -> Tensor:
    """(H, W) scores -> (N, 2) int64 x and y of the best, none next to another."""
    n = options.n_keypoints
    chosen = DetectionOptions(nms_radius=options.nms_radius, top_k=n, max_keypoints=n)
    cells = detect_logits(scores, chosen)
    return torch.stack([cells % scores.shape[1], cells // scores.shape[1]], dim=1)


def _matched(a: Tensor, b: Tensor) -> np.ndarray:
    """(M, 2) rows of (N, D) and (N', D) descriptors that are each other's nearest."""
    pairs = mutual_nearest(a.contiguous(), b.contiguous())
    matches: np.ndarray = torch.stack([pairs.rows, pairs.columns], dim=1).cpu().numpy()
    return matches


def _found(
    moved: np.ndarray, others: np.ndarray, inside: tuple[int, np.ndarray], tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which of (N, 2) places are among the cells of the other view, and which near (M, 2) `others`.

    inside: pixels of the first and of the last cell
    """
    first, last = inside
    shared = np.all((moved >= first - 0.5) & (moved <= last + 0.5), axis=1)
    near = np.linalg.norm(moved[:, None] - others, axis=2) <= tolerance  # (N, M)
    return np.asarray(shared), np.asarray(shared & near.any(axis=1))


def principal_colours(fields: Tensor) -> Tensor:
    """(N, D, h, w) -> (N, h, w, 3) uint8: the three main components, the same for all N fields.

    Their signs are such that the largest entry of each axis is positive.
    """
    rows = fields.permute(0, 2, 3, 1).flatten(0, 2).double()  # (N h w, D)
    rows = rows - rows.mean(dim=0)
    _, axes = torch.linalg.eigh(rows.T @ rows)  # ascending
    axes = functional.pad(axes.flip(1)[:, :3], (0, max(0, 3 - rows.shape[1])))  # (D, 3)
    signs = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    values = rows @ (axes * signs)
    low, high = torch.quantile(values, values.new_tensor(SPREAD), dim=0)
    shares: Tensor = (values - low) / (high - low).clamp(min=1e-12)
    levels = (shares * 255).round().clamp(0, 255).byte()
    return levels.reshape(len(fields), *fields.shape[2:], 3)
