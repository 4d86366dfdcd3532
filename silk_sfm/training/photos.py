"""The photos that a training learns from: folders and lists, as many at a time as memory holds."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.images import ImageFolder, decode, image_size, resize, turn_upright
from silk_sfm.pixels import size_within
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
class Source:
    """A folder of photos, or a text file that lists photos, and how often it is drawn from.

    weight: relative to the other sources, however many photos each has
    """

    path: Path
    weight: float = 1.0

    @staticmethod
    def parse(text: str) -> Source:
        """`PATH` or `PATH=WEIGHT`. Raises ConfigError when the weight is no number above 0."""
        path, separator, weight = text.rpartition("=")
        if not separator or Path(text).exists():
            return Source(Path(text))
        try:
            number = float(weight)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise ConfigError(f"{text}: `{weight}` is no weight. Write PATH=2.5, a number above 0.")
        return Source(Path(path), number)

    def photos(self) -> list[Path]:
        """Its photos, sorted. Raises ImageError when there is none, or a listed one is missing."""
        if self.path.is_file():
            return self._listed()
        folder = ImageFolder.open(self.path)
        return [folder.path(name) for name in folder.names]

    def _listed(self) -> list[Path]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise ImageError(
                f"{self.path} is no list of photos: a text file with a path a line is expected."
            ) from None
        photos = [self.path.parent / line.strip() for line in lines if line.strip()]
        missing = [photo for photo in photos if not photo.is_file()]
        if missing or not photos:
            found = f"{len(missing)} are missing, {missing[0]} first" if missing else "it is empty"
            raise ImageError(
                f"{self.path} lists {len(photos)} photos: {found}. Paths are relative to the list."
            )
        return photos


@dataclass(frozen=True)
class Album:
    """Photos with the share of each among the draws.

    paths: the photos
    shares: one per photo, above 0; only their ratios count
    """

    paths: tuple[Path, ...]
    shares: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def digest(self) -> str:
        """SHA-256 of the photos' names and shares: another one when photos come or go."""
        lines = [
            f"{path.name} {share!r}" for path, share in zip(self.paths, self.shares, strict=True)
        ]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()

    @staticmethod
    def of(sources: Sequence[Source]) -> Album:
        """All photos of the sources; a source's weight is spread evenly over its photos."""
        paths: list[Path] = []
        shares: list[float] = []
        for source in sources:
            found = source.photos()
            paths += found
            shares += [source.weight / len(found)] * len(found)
        return Album(tuple(paths), tuple(shares))

    def split(self, share: float) -> tuple[Album, Album]:
        """The photos to learn from, and about `share` of them to validate with.

        A photo's file name decides, so that the same photos stay in validation when others come or
        go. Raises ImageError when fewer than two photos are there.
        """
        if len(self) < 2:
            raise ImageError(
                f"{len(self)} photo is too few: one at least is needed for validation, too."
            )
        order = sorted(range(len(self)), key=lambda at: _lot(self.paths[at]))
        n_kept = min(max(1, round(share * len(self))), len(self) - 1)
        kept = set(order[:n_kept])
        others = [at for at in range(len(self)) if at not in kept]
        return self._part(others), self._part(sorted(kept))

    def _part(self, indices: Iterable[int]) -> Album:
        chosen = list(indices)
        return Album(
            tuple(self.paths[at] for at in chosen), tuple(self.shares[at] for at in chosen)
        )


def _lot(path: Path) -> bytes:
    return hashlib.sha256(path.name.encode(errors="surrogateescape")).digest()


@dataclass(frozen=True)
class Unreadable:
    """A photo that could not be read, and why."""

    path: Path
    reason: str


@dataclass
class Library:
    """The photos of an album in memory, all at once or a sample per epoch.

    Broken photos are left out and listed in `unreadable`.
    """

    album: Album
    options: PhotoOptions
    device: str
    seed: int = 0
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

    @property
    def fits(self) -> bool:
        """Are all photos in memory at once?"""
        return sum(self._sizes.values()) <= self.options.memory_gb * 1e9

    def stack(self, epoch: int) -> tuple[PhotoStack, Tensor]:
        """The photos of an epoch on the device, and the share of each, (n,) float32.

        Raises ImageError when none of them can be read.
        """
        sample = 0 if self.fits else epoch
        if self._held is None or self._held[0] != sample:
            self._held = None  # its memory is needed
            self._held = (sample, *self._take(sample))
        if not self.fits:
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
