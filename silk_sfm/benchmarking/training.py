"""SiLK's training: one iteration, and its losses alone, beside the losses on the whole matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.benchmarking.figures import Figure, Scope, seconds
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.training.dense_losses import dense_losses
from silk_sfm.training.homographies import window_matrices
from silk_sfm.training.losses import LossOptions, silk_loss
from silk_sfm.training.silk import cell_matches

CELLS = (82, 146, 210)
"""Sides of the maps of a view."""
LARGEST_DENSE = 146
"""The whole matrix takes 9 GB there, 40 GB at 210."""
DENSE = "the losses on the whole matrix"
NETWORKS = ("pvgg-4", "pvgg-micro")

Loss = Callable[..., Tensor]
"""From logits (P,), (P,), descriptors (P, D), (P, D) and correspondences of a pair of views."""


def figures(scope: Scope) -> Iterator[Figure]:
    """Seconds of an iteration with one pair of views and of the losses in it; memory on a CPU."""
    for name in NETWORKS[-1:] if scope.quick else NETWORKS:
        for cells in (24,) if scope.quick else CELLS:
            yield from _figures(name, cells, scope.device)


def _figures(name: str, cells: int, device: str) -> Iterator[Figure]:
    what = f"{name}, {cells} x {cells} cells"
    dense = cells <= LARGEST_DENSE
    for label, inputs, work in (
        ("iteration", pair_of_views, iteration),
        ("losses", pair_of_maps, losses),
    ):
        given = inputs(name, cells, device)
        yield Figure(
            f"{label}, {what}",
            "s",
            seconds(partial(work, tiled_loss, *given)),
            seconds(partial(work, dense_loss, *given)) if dense else None,
            DENSE if dense else "",
            max_repeats=3,
            note="one pair of views, forward and backward",
        )
    if device == "cpu":
        inputs = partial(pair_of_views, name, cells, device)
        yield Figure(
            f"memory of an iteration, {what}",
            "MB",
            peak_above_inputs_mb(inputs, partial(iteration, tiled_loss)),
            peak_above_inputs_mb(inputs, partial(iteration, dense_loss)) if dense else None,
            DENSE if dense else "",
            max_repeats=1,
            note="resident memory beyond network and images, in a process of its own",
        )


def pair_of_views(name: str, cells: int, device: str) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """An untrained network, (2, 1, S, S) noise, and the true correspondences of its cells."""
    network = untrained(name).to(device)
    size = cells + 2 * network.offset
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, size, size, generator=generator).to(device)
    return network, images, *correspondences(cells, network.offset, device)


def iteration(loss: Loss, network: SilkNetwork, images: Tensor, *truth: Tensor) -> None:
    """Forward and backward; the gradients are dropped."""
    logits, raw = network(images)
    flat = raw.flatten(2).transpose(1, 2)
    descriptors = functional.normalize(flat, dim=2) * network.descriptor_scale
    loss(*logits.flatten(1), *descriptors, *truth).backward()  # type: ignore[no-untyped-call]
    network.zero_grad()
    _wait(images.device)


def pair_of_maps(name: str, cells: int, device: str) -> tuple[Tensor, ...]:
    """Logits, descriptors and true correspondences of two views of noise."""
    network, images, *truth = pair_of_views(name, cells, device)
    with torch.no_grad():
        logits, raw = network(images)
    descriptors = functional.normalize(raw.flatten(2).transpose(1, 2), dim=2)
    maps = (*logits.flatten(1), *descriptors * 1.41)
    return *(each.clone().requires_grad_() for each in maps), *truth


def losses(loss: Loss, *parts: Tensor) -> None:
    """Forward and backward, to the maps."""
    torch.autograd.grad(loss(*parts), parts[:4])
    _wait(parts[0].device)


def _wait(device: torch.device) -> None:
    """Until a GPU has done what it was given: a backward pass returns before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def tiled_loss(*parts: Tensor) -> Tensor:
    """Ours."""
    logits_a, logits_b, a, b, to_b, to_a = (part[None] for part in parts)
    found = silk_loss(logits_a, logits_b, a, b, to_b, to_a, LossOptions())
    return found.descriptor + found.keypoint


def dense_loss(*parts: Tensor) -> Tensor:
    """Plain torch."""
    logits_a, logits_b, a, b, to_b, to_a = parts
    temperature = LossOptions().temperature
    descriptor, keypoint = dense_losses(logits_a, logits_b, a, b, to_b, to_a, temperature)
    return descriptor + keypoint


def untrained(name: str) -> SilkNetwork:
    """A network of this shape in training mode; how long it takes does not depend on weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SilkNetwork(ARCHITECTURES[name]).train()


def correspondences(cells: int, margin: int, device: str) -> tuple[Tensor, Tensor]:
    """(cells^2,) each, for a window that is scaled, tilted and turned by the middle of the ranges
    of training: half of the cells have one.
    """
    scale, tilt, turn = (torch.tensor([value]) for value in (0.75, 0.39, 0.2))
    half = cells / 2 + margin - 0.5
    pixels = torch.tensor([[half, 0, half], [0, half, half], [0, 0, 1.0]], dtype=torch.float64)
    to_a = pixels @ window_matrices(scale, tilt, tilt, turn) @ torch.linalg.inv(pixels)
    to_b, to_a = cell_matches(torch.linalg.inv(to_a).to(device), margin, (cells, cells))
    return to_b[0], to_a[0]
