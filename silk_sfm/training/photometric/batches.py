"""Batches of images: values drawn for each of them, and changes of some of them.

What happens is drawn for a whole batch first and applied afterwards. Draws are frozen dataclasses
of tensors with a row for each image, so that they can be recorded, replayed and split by image.
Nothing here waits for the device, except on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol

import torch
from torch import Tensor


class Photometric(Protocol):
    """Changes how images look."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(N, 3, H, W) float32 RGB in 0..1 -> the same shape; each image has its own draws.

        `generator` lives on the device of the images; its state decides the result.
        """


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(n,) float32 between low and high."""
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def odd_sizes(n: int, smallest: int, largest: int, generator: torch.Generator) -> Tensor:
    """(n,) int64 odd numbers from smallest to largest (both odd), each as likely as the others."""
    steps = (largest - smallest) // 2 + 1
    drawn = torch.randint(steps, (n,), generator=generator, device=generator.device)
    return smallest + 2 * drawn


def rows_of(draws: Any, rows: Tensor) -> Any:
    """The draws of some images: of a tensor or of a dataclass of draws; rows: (M,) indices."""
    if isinstance(draws, Tensor):
        return draws[rows]
    return type(draws)(*(rows_of(getattr(draws, field.name), rows) for field in fields(draws)))


def change_some(
    images: Tensor, chosen: Tensor, change: Callable[..., Tensor], *drawn: Any
) -> Tensor:
    """The images, with `change(images, *drawn)` where `chosen` (N,) says so.

    drawn: tensors or dataclasses of draws, a row for each image; `change` treats each image alone.
    """
    if images.device.type == "cpu":
        return change_rows(images, chosen.nonzero()[:, 0], change, *drawn)
    # Computing what is not needed is cheaper than waiting for the device to say what is.
    return torch.where(for_images(chosen), change(images, *drawn), images)


def change_rows(images: Tensor, rows: Tensor, change: Callable[..., Tensor], *drawn: Any) -> Tensor:
    """The images, those of `rows` (M,) changed; nothing is computed for the others."""
    if len(rows) == 0:
        return images
    return images.index_copy(0, rows, change(images[rows], *(rows_of(row, rows) for row in drawn)))


def for_images(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1), to be combined with a batch of images."""
    return values[:, None, None, None]


def constant(values: Any, device: torch.device) -> Tensor:
    """A float32 tensor of numbers from nested tuples, on its way to the device."""
    return torch.tensor(values, dtype=torch.float32).to(device, non_blocking=True)
