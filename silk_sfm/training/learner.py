"""One training step, and one validation, on one device."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from silk_sfm.nn.inference import Arithmetic
from silk_sfm.training.method import Method
from silk_sfm.training.photometric import Photometric, photometric, training_grey
from silk_sfm.training.processes import Process
from silk_sfm.training.recipe import ScheduleOptions, Training
from silk_sfm.training.sight import Sight
from silk_sfm.training.stack import PhotoStack
from silk_sfm.training.views import Views, draw_views

VALIDATION = 1 << 40
"""Added to the number of a batch: validation never sees what an iteration draws."""
LESSONS = 1 << 41
"""Added for what is drawn besides the views."""

LOWEST_RATE = 0.01
"""Of the full learning rate, at the end of the cosine decay."""


class Cast(nn.Module):
    """A network whose maps are in another arithmetic than its weights."""

    def __init__(self, network: nn.Module, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.network = network
        self._dtype: torch.dtype = getattr(torch, arithmetic)

    def forward(self, images: Tensor) -> object:
        """What the network gives."""
        enabled = self._dtype != torch.float32
        with torch.autocast(images.device.type, self._dtype, enabled=enabled):
            return self.network(images)


class Learner:
    """A network, its optimizer and the method that it learns by.

    Every draw of an iteration depends on the seed, its number and the process alone: a run that is
    resumed draws what an undisturbed one does.
    """

    def __init__(
        self, network: nn.Module, method: Method, training: Training, process: Process
    ) -> None:
        self.network = network
        self.optimizer = torch.optim.Adam(
            network.parameters(),
            training.schedule.learning_rate,
            weight_decay=training.schedule.weight_decay,
        )
        self._method = method
        self._training = training
        self.process = process
        self._device = next(network.parameters()).device
        self._forward = process.shared(Cast(network, training.schedule.arithmetic))
        self._light = photometric(training.schedule.photometric, training.camera)

    def worst_loss(self, cells: int) -> float:
        """See `Method`."""
        return self._method.worst_loss(cells)

    def step(self, iteration: int, stack: PhotoStack, shares: Tensor) -> dict[str, Tensor]:
        """Learn from the pairs of one iteration; returns what is logged, () on the device."""
        schedule = self._training.schedule
        rate = learning_rate(schedule, iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        views = self.batch(iteration, stack, shares, schedule.cells_at(iteration))
        self.network.train()
        seed = self._seed(iteration + LESSONS, self.process.rank)
        self.optimizer.zero_grad()
        with seeded(seed, self._device), repeatable(self._device):
            generator = torch.Generator(self._device).manual_seed(seed)
            lesson = self._method.learn(self._forward, views, generator)
            lesson.loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss": lesson.loss.detach(), **lesson.figures}

    def batch(self, iteration: int, stack: PhotoStack, shares: Tensor, cells: int) -> Views:
        """The views of an iteration, with all changes of light."""
        warps = self._training.warps
        generator = self._generator(iteration, self.process.rank)
        n = self._training.schedule.pairs
        views = self._draw(stack, shares, cells, n, warps.strength(iteration), generator)
        return self._lit(views, self._light, generator)

    @torch.no_grad()
    def validate(self, stack: PhotoStack, shares: Tensor) -> dict[str, float]:
        """Mean figures over validation pairs: full warps, no changes of light.

        All processes come to the same.
        """
        self.process.align(self.network)
        self.network.eval()
        sums: dict[str, Tensor] = {}
        n = self._training.schedule.validation_pairs
        for number in range(n):
            views = self.validation_views(number, stack, shares)
            generator = self._generator(VALIDATION + LESSONS + number, 0)
            lesson = self._method.learn(self.network, views, generator)
            judged = self._method.judge(self.network, views)
            add_to(sums, {"loss": lesson.loss, **lesson.figures, **judged})
        return {name: float(total) / n for name, total in sums.items()}

    def validation_views(self, number: int, stack: PhotoStack, shares: Tensor) -> Views:
        """The views of one validation pair."""
        generator = self._generator(VALIDATION + number, 0)
        cells = self._training.schedule.cells
        views = self._draw(stack, shares, cells, 1, 1.0, generator)
        return self._lit(views, photometric("none"), generator)

    def look(self, views: Views) -> Sight:
        """What the network sees in the first pair of `views`."""
        return self._method.look(self.network, views)

    def _draw(
        self,
        stack: PhotoStack,
        shares: Tensor,
        cells: int,
        n: int,
        strength: float,
        generator: torch.Generator,
    ) -> Views:
        size = cells * self._method.cell + 2 * self._method.margin
        warps, options = self._training.warps, self._training.views
        return draw_views(stack, shares, size, n, warps, options, strength, generator)

    def _lit(self, views: Views, light: Photometric, generator: torch.Generator) -> Views:
        n = len(views.a)
        images = light(torch.cat([views.a, views.b]), generator)
        if self._method.channels == "grey":
            images = training_grey(images)
        return dataclasses.replace(views, a=images[:n], b=images[n:])

    def _generator(self, number: int, rank: int) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(self._seed(number, rank))

    def _seed(self, number: int, rank: int) -> int:
        return mixed(self._training.schedule.seed, number, rank)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of torch that dropout draws from, and leave them as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU, sums of gradients that threads share are made in one order inside the block.

    Without it, gradients of values that are read more than once differ in their last bits from
    run to run, and a resumed training from an undisturbed one.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False  # nothing here reads it
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled


def learning_rate(schedule: ScheduleOptions, iteration: int) -> float:
    """Adam's step at an iteration, counted from 0."""
    rate = schedule.learning_rate
    if iteration < schedule.warmup:
        return rate * (iteration + 1) / schedule.warmup
    if schedule.decay == "none":
        return rate
    done = (iteration - schedule.warmup) / max(1, schedule.iterations - schedule.warmup)
    return rate * (LOWEST_RATE + (1 - LOWEST_RATE) * (1 + math.cos(math.pi * done)) / 2)


def mixed(*numbers: int) -> int:
    """A seed, 0 to 2^63 - 1, that is another one for any other numbers (SplitMix64)."""
    state = 0
    for number in numbers:
        state = (state ^ number) + 0x9E3779B97F4A7C15 & _ALL
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _ALL
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _ALL
        state ^= state >> 31
    return state >> 1


_ALL = (1 << 64) - 1


def add_to(sums: dict[str, Tensor], figures: Mapping[str, Tensor]) -> None:
    """Add each figure to the sum of its name."""
    for name, value in figures.items():
        sums[name] = sums[name] + value if name in sums else value.clone()
