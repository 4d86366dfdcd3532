"""The photos of an album in memory, as many at a time as it holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.images import decode, image_size, resize, turn_upright
from silk_sfm.pixels import size_within
from silk_sfm.training.albums import Album
from silk_sfm.training.stack import PhotoStack, stack_photos

T = TypeVar("T")

log = logging.getLogger(__name__)

READERS = 4
BYTES_A_PIXEL = 3 * (1 + 1 / 4 + 1 / 16)
"""RGB at full, half and quarter size."""


@dataclass(frozen=True)
class PhotoOptions:
    """Which photos are used, and how large."""

    max_side: int = 1024
    """Longer side, pixels: larger photos are shrunk. 0: never."""
    validation_share: float = 0.05
    """Share of the photos that is kept for validation, chosen by their names."""
    memory_gb: float = 4.0
    """Photos in memory at a time, 10^9 bytes. When all take more, each epoch has its own sample."""

    def __post_init__(self) -> None:
        if self.max_side < 0:
            raise ConfigError(f"max-side must be at least 0 px, got {self.max_side}.")
        if not 0 < self.validation_share < 1:
            raise ConfigError(
                f"validation-share must be above 0 and below 1, got {self.validation_share}."
            )
        if self.memory_gb <= 0:
            raise ConfigError(f"memory-gb must be above 0, got {self.memory_gb}.")


@dataclass(frozen=True)
class Unreadable:
    """A photo that could not be read, and why."""

    path: Path
    reason: str


@dataclass
class Library:
    """The photos of an album in memory, all at once or a sample per epoch.

    ahead: read the next sample while one is used
    unreadable: broken photos, which are left out
    """

    album: Album
    options: PhotoOptions
    device: str
    seed: int = 0
    ahead: bool = True
    unreadable: dict[Path, Unreadable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._held: tuple[int, PhotoStack, Tensor] | None = None
        self._coming: tuple[int, Future[tuple[PhotoStack, Tensor]]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="next-photos")
        self._sizes = self._measure()

    @property
    def readable(self) -> list[Path]:
        """The photos of the album that are not broken, as far as they were looked at."""
        return [path for path in self.album.paths if path not in self.unreadable]

    @cached_property
    def fits(self) -> bool:
        """Are all photos in memory at once?"""
        n_bytes = sum(self._sizes.get(path, 0) for path in self.album.paths)
        return n_bytes <= self.options.memory_gb * 1e9

    def stack(self, epoch: int) -> tuple[PhotoStack, Tensor]:
        """The photos of an epoch on the device, and the share of each, (n,) float32.

        Raises ImageError when none of them can be read.
        """
        sample = 0 if self.fits else epoch
        if self._held is None or self._held[0] != sample:
            self._held = None  # its memory is needed
            self._held = (sample, *self._take(sample))
            if self.ahead and not self.fits:
                self._coming = (sample + 1, self._reader.submit(self._load, sample + 1, "cpu"))
        return self._held[1], self._held[2]

    def _take(self, sample: int) -> tuple[PhotoStack, Tensor]:
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == sample:
            stack, shares = coming[1].result()
            return _on(stack, self.device), shares.to(self.device)
        return self._load(sample, self.device)

    def _load(self, sample: int, device: str) -> tuple[PhotoStack, Tensor]:
        photos, shares = [], []
        for at, photo in self._read(self._chosen(sample)):
            photos.append(photo)
            shares.append(self.album.shares[at] if self.fits else 1.0)
        if not photos:
            broken = next(iter(self.unreadable.values()))
            raise ImageError(
                f"None of {len(self.album)} photos can be read; the first: {broken.reason}"
            )
        return stack_photos(photos, device), torch.tensor(shares, device=device)

    def _chosen(self, sample: int) -> list[int]:
        """Indices of the photos of a sample: as many as fit beside the next sample.

        They are drawn by their shares without replacement, so that within a sample all are alike.
        """
        readable = [at for at, path in enumerate(self.album.paths) if path in self._sizes]
        if self.fits:
            return readable
        rng = np.random.default_rng((self.seed, sample))
        weights = np.array([self.album.shares[at] for at in readable])
        keys = rng.exponential(size=len(readable)) / weights  # the smallest: drawn first
        room = self.options.memory_gb * 1e9 / 2
        chosen: list[int] = []
        for place in np.argsort(keys, kind="stable"):
            room -= self._sizes[self.album.paths[readable[place]]]
            if room < 0 and chosen:
                break
            chosen.append(readable[place])
        return sorted(chosen)

    def _read(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """The photos that can be read, in the order of their indices."""
        with ThreadPoolExecutor(READERS) as pool:
            read = pool.map(self._attempt(self._decoded), [self.album.paths[at] for at in indices])
            for at, photo in zip(indices, read, strict=True):
                if photo is not None:
                    yield at, photo

    def _measure(self) -> dict[Path, float]:
        """Bytes that each photo will take, from the headers."""
        with ThreadPoolExecutor(READERS) as pool:
            sizes = pool.map(self._attempt(self._bytes), self.album.paths)
            return {
                path: size
                for path, size in zip(self.album.paths, sizes, strict=True)
                if size is not None
            }

    def _attempt(self, read: Callable[[Path], T]) -> Callable[[Path], T | None]:
        """The same function, but photos that cannot be read are noted and give None."""

        def attempt(path: Path) -> T | None:
            try:
                return read(path)
            except ImageError as error:
                if path not in self.unreadable:
                    log.info("%s", error)
                self.unreadable[path] = Unreadable(path, str(error))
                return None

        return attempt

    def _bytes(self, path: Path) -> float:
        width, height = size_within(image_size(path), self.options.max_side or None)
        return width * height * BYTES_A_PIXEL

    def _decoded(self, path: Path) -> Tensor:
        """(3, H, W) uint8 RGB, upright and small enough."""
        raw, orientation = decode(path)
        upright = turn_upright(raw, orientation)
        size = size_within((upright.shape[1], upright.shape[0]), self.options.max_side or None)
        pixels = np.rint(resize(upright, size) * 255).clip(0, 255).astype(np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _on(stack: PhotoStack, device: str) -> PhotoStack:
    return PhotoStack(*(part.to(device, non_blocking=True) for part in vars(stack).values()))
