"""The HPatches layout: folders `i_*` and `v_*` with images 1 to 6 and homographies H_1_2 to H_1_6.

Balntas, Lenc, Vedaldi, Mikolajczyk: HPatches, CVPR 2017 (the full image sequences).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.homography_files import read_homography
from silk_sfm.evaluation.planar import PlanarPair, Size
from silk_sfm.evaluation.resized import (
    Interpolation,
    copy_grid,
    copy_name,
    read_size,
    resized_copies,
)
from silk_sfm.geometry.homography import resized_homography
from silk_sfm.images import ImageFolder

SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg", ".pgm")
TARGETS = range(2, 7)
SUBSETS = {"v": "viewpoint", "i": "illumination"}
D2NET_LEFT_OUT = frozenset(
    f"i_{name}" for name in ("contruction", "crownnight", "dc", "pencils", "whitebuilding")
) | {"v_artisans", "v_astronautis", "v_talent"}
"""Sequences beyond 1200 x 1600 px: D2-Net left them out; its curve and R2D2's show the others."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """One scene.

    images: names of images 1 to 6, relative to the data folder
    homographies: of images 2 to 6, each (3, 3) from image 1, in pixels of the files
    """

    name: str
    images: tuple[str, ...]
    homographies: tuple[np.ndarray, ...]

    @property
    def subset(self) -> str:
        """`viewpoint` or `illumination`."""
        return SUBSETS[self.name[0]]


@dataclass(frozen=True, eq=False)
class HPatchesFiles:
    """All sequences of a folder, sorted by name."""

    root: Path
    sequences: tuple[Sequence, ...]

    @staticmethod
    def read(root: Path) -> HPatchesFiles:
        """Read all homographies and find all images.

        Raises DatasetError when there is no sequence, when an image or a homography is missing, or
        when a homography is faulty.
        """
        folders = sorted(path for path in root.glob("[iv]_*") if path.is_dir())
        if not folders:
            raise DatasetError(
                f"No HPatches sequence in {root}: folders named i_* and v_*. Give the folder that "
                "holds them."
            )
        return HPatchesFiles(root, tuple(map(_read_sequence, folders)))

    @property
    def images(self) -> ImageFolder:
        """The published images."""
        names = [name for sequence in self.sequences for name in sequence.images]
        return ImageFolder(self.root, tuple(sorted(names)))

    def without(self, left_out: frozenset[str]) -> HPatchesFiles:
        """The sequences with other names. Raises DatasetError when there is none."""
        kept = tuple(each for each in self.sequences if each.name not in left_out)
        if not kept:
            names = ", ".join(each.name for each in self.sequences)
            raise DatasetError(f"{self.root} holds only sequences that are left out here: {names}.")
        return HPatchesFiles(self.root, kept)

    def original(self) -> list[PlanarPair]:
        """The pairs at the published sizes."""
        return [
            PlanarPair(
                sequence.images[0],
                image,
                homography,
                read_size(self.root / sequence.images[0]),
                read_size(self.root / image),
                sequence.subset,
            )
            for sequence in self.sequences
            for image, homography in zip(sequence.images[1:], sequence.homographies, strict=True)
        ]

    def resized(
        self, out: Path, size_of: Callable[[Size, Size], Size], interpolation: Interpolation
    ) -> tuple[ImageFolder, list[PlanarPair]]:
        """Copies below `out` and the pairs in their pixels.

        size_of: gives the size of a copy from that of its image and that of image 1
        """
        sizes: dict[str, Size] = {}
        for sequence in self.sequences:
            first = read_size(self.root / sequence.images[0])
            for name in sequence.images:
                sizes[name] = size_of(read_size(self.root / name), first)
        copies = resized_copies(self.images, sizes, out, interpolation)
        return copies, [
            _resized_pair(self.images, sequence, index, sizes)
            for sequence in self.sequences
            for index in range(1, len(sequence.images))
        ]


def _resized_pair(
    images: ImageFolder, sequence: Sequence, index: int, sizes: dict[str, Size]
) -> PlanarPair:
    a, b = sequence.images[0], sequence.images[index]
    grid_a, grid_b = copy_grid(images, a, sizes[a]), copy_grid(images, b, sizes[b])
    homography = resized_homography(sequence.homographies[index - 1], grid_a, grid_b)
    return PlanarPair(copy_name(a), copy_name(b), homography, sizes[a], sizes[b], sequence.subset)


def _read_sequence(folder: Path) -> Sequence:
    images = tuple(f"{folder.name}/{_image(folder, number)}" for number in (1, *TARGETS))
    homographies = tuple(read_homography(folder / f"H_1_{number}") for number in TARGETS)
    return Sequence(folder.name, images, homographies)


def _image(folder: Path, number: int) -> str:
    for suffix in SUFFIXES:
        if (folder / f"{number}{suffix}").exists():
            return f"{number}{suffix}"
    raise DatasetError(
        f"No image {number} in {folder}: looked for {number}{{{','.join(SUFFIXES)}}}. Each "
        "sequence has images 1 to 6."
    )
