"""The training loop: learn, log, validate, save; and go on where a killed run stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from silk_sfm.errors import TrainingError
from silk_sfm.training.checkpoints import Checkpoints, Progress
from silk_sfm.training.learner import Learner, add_to
from silk_sfm.training.photos import Library
from silk_sfm.training.processes import Process
from silk_sfm.training.recipe import ScheduleOptions


class Observer(Protocol):
    """Is told what happens, and may show it."""

    def started(self, progress: Progress) -> None:
        """It begins, or goes on after the iterations that are done."""

    def iterations(self, first: int, last: int) -> Iterable[int]:
        """Pass on the numbers from `first` to before `last`."""

    def trained(self, progress: Progress, figures: Mapping[str, float]) -> None:
        """Mean figures of the iterations since the last call."""

    def validated(self, progress: Progress, figures: Mapping[str, float]) -> None:
        """Mean figures of a validation."""


@dataclass(frozen=True)
class Photos:
    """What is learned from, and what is validated with."""

    training: Library
    validation: Library


def train(
    learner: Learner,
    photos: Photos,
    schedule: ScheduleOptions,
    checkpoints: Checkpoints,
    observer: Observer,
) -> Progress:
    """Run the iterations that are left, and return how far it is.

    Validation comes before the first iteration, too, to compare with.

    The state is saved when figures are logged: then they are known to be numbers. Raises
    TrainingError that names the last good checkpoint when they are not, or when the loss is above
    that of the worst network; in all processes, since they share the figures.
    """
    progress = checkpoints.resume(learner)
    observer.started(progress)
    clock, window = Clock(schedule), Window(learner.process)
    if progress.iteration == 0:
        observer.validated(progress, learner.validate(*photos.validation.stack(0)))
    for iteration in observer.iterations(progress.iteration, schedule.iterations):
        stack, shares = photos.training.stack(iteration // schedule.epoch)
        window.add(learner.step(iteration, stack, shares))
        progress.iteration = iteration + 1
        is_last = progress.iteration == schedule.iterations
        logs = progress.iteration % schedule.log_every == 0 or is_last
        if logs:
            learned = window.means()
            limit = learner.worst_loss(schedule.cells_at(iteration))
            if not learned["loss"] <= limit:  # NaN is not, either
                raise TrainingError(_what_went_wrong(learned["loss"], limit, progress, checkpoints))
        if progress.iteration % schedule.epoch == 0 or is_last:
            validated = learner.validate(*photos.validation.stack(0))
            if learner.process.any_of(not math.isfinite(validated["loss"])):
                raise TrainingError(_no_number(progress, checkpoints))
            checkpoints.rank(learner, progress, validated)
            observer.validated(progress, validated)
        if logs:
            observer.trained(progress, learned)
            is_over = not is_last and learner.process.any_of(clock.is_over())
            if clock.wants_saving() or checkpoints.unsaved or is_last or is_over:
                checkpoints.save(learner, progress)
            if is_over:
                return progress
    return progress


class Window:
    """Sums of figures on the device since they were last read."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._sums: dict[str, Tensor] = {}
        self._n = 0

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Figures of one iteration."""
        add_to(self._sums, figures)
        self._n += 1

    def means(self) -> dict[str, float]:
        """The means over all processes, read from the device; the next window starts."""
        sums = torch.stack([total.double() for total in self._sums.values()])
        means = (self._process.mean(sums) / self._n).tolist()
        found = dict(zip(self._sums, means, strict=True))
        self._sums, self._n = {}, 0
        return found


class Clock:
    """When to save and when to stop."""

    def __init__(self, schedule: ScheduleOptions) -> None:
        self._schedule = schedule
        self._started = self._saved = time.monotonic()

    def wants_saving(self) -> bool:
        """Was the last save long ago? If so, a save is expected now."""
        due = time.monotonic() - self._saved >= self._schedule.save_seconds
        if due:
            self._saved = time.monotonic()
        return due

    def is_over(self) -> bool:
        """Is the time that was given used up?"""
        minutes = self._schedule.minutes
        return bool(minutes) and time.monotonic() - self._started >= 60 * minutes


def _no_number(progress: Progress, checkpoints: Checkpoints) -> str:
    return (
        f"Training went wrong before iteration {progress.iteration}: the loss of the validation is "
        f"no number. {checkpoints.advice(progress)}"
    )


def _what_went_wrong(
    loss: float, limit: float, progress: Progress, checkpoints: Checkpoints
) -> str:
    return (
        f"Training went wrong before iteration {progress.iteration}: the mean loss is {loss:.3g}, "
        f"the worst descriptors would have {limit:.3g}. {checkpoints.advice(progress)}"
    )
