"""An existing COLMAP database or model to an image list, cameras and a pair list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from silk_sfm.colmap.exchange import CAMERA_FILES, ColmapContent, read_colmap, write_cameras
from silk_sfm.errors import ReconstructionError
from silk_sfm.files import whole_file
from silk_sfm.options import check_at_least
from silk_sfm.pairs import PairList

IMAGE_LIST, PAIRS = "image_list.txt", "pairs.txt"


@dataclass(frozen=True)
class ImportOptions:
    """Which pairs are taken over."""

    least_shared: int = 15
    """Pairs share at least so many inliers (raw matches if nothing is verified) in a database, or
    points in a model."""

    def __post_init__(self) -> None:
        check_at_least("least_shared", self.least_shared, 1)


@dataclass(frozen=True)
class ImportReport:
    """n_guessed: how many of the cameras have a focal length that is only a guess."""

    n_images: int
    n_cameras: int
    n_guessed: int
    n_pairs: int

    def __str__(self) -> str:
        guessed = f" ({self.n_guessed} with a guessed focal length)" if self.n_guessed else ""
        return (
            f"import-colmap: {self.n_images} images, {self.n_cameras} cameras{guessed}, "
            f"{self.n_pairs} pairs"
        )


def import_colmap(
    source: Path, out: Path, options: ImportOptions, overwrite: bool = False
) -> ImportReport:
    """Write OUT/image_list.txt, OUT/pairs.txt, and the cameras: cameras.txt and cameras.bin.

    OUT then serves as `--intrinsics OUT` (images.bin says which photo has which camera),
    OUT/pairs.txt as `--pair-file`.

    Raises ReconstructionError when SOURCE cannot be read, is OUT itself, or when OUT holds such
    files already.
    """
    if out.resolve() == source.resolve():
        raise ReconstructionError(f"{out} is what is read. Give another folder to write.")
    written = (IMAGE_LIST, PAIRS, *CAMERA_FILES)
    if not overwrite and any((out / name).exists() for name in written):
        raise ReconstructionError(
            f"{out} holds an import or a model already. Add --overwrite to replace it."
        )
    content = read_colmap(source)
    pairs = _pairs(content, options)
    with whole_file(out / IMAGE_LIST) as part:
        part.write_text("".join(f"{name}\n" for name in content.names), "utf-8")
    write_cameras(content, out)
    pairs.write(out / PAIRS)
    cameras = content.cameras.cameras
    n_guessed = sum(not camera.trusted for camera in cameras)
    return ImportReport(len(content.names), len(cameras), n_guessed, len(pairs))


def _pairs(content: ColmapContent, options: ImportOptions) -> PairList:
    enough = [pair for pair, count in content.shared.items() if count >= options.least_shared]
    return PairList(tuple(sorted(enough)))
