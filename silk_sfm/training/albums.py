"""Which photos a training learns from, how often each is drawn, and which are kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.images import ImageFolder


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

    def photos(self, leave_out: Path | None = None) -> list[Path]:
        """Its photos, sorted; of a folder, not those below the folder `leave_out`.

        Raises ImageError when there is none, or a listed one is missing.
        """
        if self.path.is_file():
            return self._listed()
        folder = ImageFolder.open(self.path, [leave_out])
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
    def of(sources: Sequence[Source], leave_out: Path | None = None) -> Album:
        """All photos of the sources; a source's weight is spread evenly over its photos.

        leave_out: a folder that may lie in a source but is none, as where a training is written
        """
        paths: list[Path] = []
        shares: list[float] = []
        for source in sources:
            found = source.photos(leave_out)
            paths += found
            shares += [source.weight / len(found)] * len(found)
        return Album(tuple(paths), tuple(shares))

    def split(self, share: float) -> tuple[Album, Album]:
        """The photos to learn from, and about `share` of them to validate with.

        A photo's file name decides, so that the same photos stay in validation when others come or
        go; one that several sources hold is on one side. Raises ImageError when fewer than two
        photos are there.
        """
        files = [path.resolve() for path in self.paths]
        names = {file: path.name for file, path in zip(files, self.paths, strict=True)}
        order = sorted(names, key=lambda file: _lot(names[file]))
        if len(order) < 2:
            raise ImageError(
                f"{len(order)} photo is too few: one at least is needed for validation, too."
            )
        n_kept = min(max(1, round(share * len(order))), len(order) - 1)
        kept = set(order[:n_kept])
        return (
            self._part(at for at, file in enumerate(files) if file not in kept),
            self._part(at for at, file in enumerate(files) if file in kept),
        )

    def _part(self, indices: Iterable[int]) -> Album:
        chosen = list(indices)
        return Album(
            tuple(self.paths[at] for at in chosen), tuple(self.shares[at] for at in chosen)
        )


def _lot(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
