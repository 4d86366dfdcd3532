"""Every choice of a training in one TOML file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import nn

from silk_sfm.errors import ConfigError
from silk_sfm.nn.inference import Arithmetic
from silk_sfm.options import check_at_least, neutral
from silk_sfm.training.homographies import WarpOptions
from silk_sfm.training.method import Method
from silk_sfm.training.photometric import CameraOptions, PhotometricName
from silk_sfm.training.photos import PhotoOptions
from silk_sfm.training.views import ViewOptions

DEFAULT_TRAINING = "train_silk"

Decay = Literal["none", "cosine"]


@dataclass(frozen=True)
class ScheduleOptions:
    """How long and how fast; the defaults are the published ones."""

    iterations: int = 100_000
    """In all."""
    pairs: int = 1
    """Pairs of views an iteration, in each process."""
    cells: int = 146
    """Side of the maps the network makes of a view, cells: the view is larger by its margin."""
    last_cells: int = 0
    """The same for the last tenth of the iterations. 0: no change."""
    learning_rate: float = 1e-4
    """Adam's."""
    decay: Decay = "none"
    """`cosine` brings the learning rate down to a hundredth until the end."""
    warmup: int = 0
    """Iterations over which the learning rate rises from 0."""
    weight_decay: float = 0.0
    """Adam's, added to the gradient."""
    photometric: PhotometricName = "rgb"
    """Changes of light, noise and blur, on both views."""
    arithmetic: Arithmetic = "float32"
    """bfloat16: of the network's maps (autocast); weights, losses and Adam stay float32."""
    seed: int = 0
    """Decides the first weights and all that is drawn."""
    epoch: int = 1000
    """Iterations from one validation to the next."""
    validation_pairs: int = 100
    """Pairs of views a validation; the same ones each time."""
    log_every: int = neutral(50)
    """Iterations over which logged figures are averaged."""
    save_seconds: float = neutral(60.0)
    """Time after which the state is saved for a resume."""
    minutes: float = neutral(0.0)
    """Stop after this time, as if interrupted; run again to go on. 0: never."""
    keep: int = neutral(10)
    """The best checkpoints that stay."""

    def __post_init__(self) -> None:
        for name in (
            "iterations",
            "pairs",
            "cells",
            "epoch",
            "validation_pairs",
            "log_every",
            "keep",
        ):
            check_at_least(name.replace("_", "-"), getattr(self, name), 1)
        if self.learning_rate <= 0:
            raise ConfigError(f"learning-rate must be above 0, got {self.learning_rate}.")
        for name in ("warmup", "last_cells", "weight_decay", "save_seconds", "minutes"):
            check_at_least(name.replace("_", "-"), getattr(self, name), 0)

    def check_cells(self, least: int, otherwise: str) -> None:
        """Raises ConfigError when a method cannot work on so few cells."""
        fewest = min(self.cells, self.last_cells or self.cells)
        if fewest < least:
            raise ConfigError(f"cells must be at least {least}, got {fewest}: {otherwise}.")

    def cells_at(self, iteration: int) -> int:
        """Side of the maps at an iteration, counted from 0."""
        return (
            self.last_cells
            if self.last_cells and iteration >= 0.9 * self.iterations
            else self.cells
        )


@dataclass(frozen=True)
class Training(ABC):
    """All that decides the result of a training, besides the photos; every method adds its own.

    A method's class has two more tables: `model`, the network, and `loss`.
    """

    name: ClassVar[str]
    """Of the method."""
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    photos: PhotoOptions = field(default_factory=PhotoOptions)
    views: ViewOptions = field(default_factory=ViewOptions)
    warps: WarpOptions = field(default_factory=WarpOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)

    @property
    @abstractmethod
    def start(self) -> Path | None:
        """The weights file to start from; None: from scratch. Raises WeightsError without it."""

    @abstractmethod
    def network(self) -> nn.Module:
        """The network, drawn from torch's own generator or read from `start`."""

    @abstractmethod
    def method(self, network: nn.Module) -> Method:
        """What such a network learns by."""

    @abstractmethod
    def save(self, network: nn.Module, path: Path, card: Mapping[str, str]) -> None:
        """Write weights that `--weights` takes; card: `licence`, `training` as in `WeightsCard`."""

    def first_network(self) -> nn.Module:
        """The network before its first iteration.

        Raises WeightsError when the weights to start from cannot be used.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.schedule.seed)
            return self.network()
