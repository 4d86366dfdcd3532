"""The commands of the stages on small photos, and their stores by a run on one machine."""

from __future__ import annotations

from pathlib import Path

from commands import finish
from small_photos import write_small_photos

STORES = ("features.h5", "matches.h5", "verified.h5")


def stage_command(root: Path, out: Path, store: str) -> list[str]:
    """The command that makes `store` in `out`; its inputs come from `root`."""
    features, matches = str(root / "features.h5"), str(root / "matches.h5")
    words = {
        "features.h5": ["extract", str(root / "photos"), str(out / store)],
        "matches.h5": ["match", features, str(root / "pairs.txt"), str(out / store)],
        "verified.h5": ["verify", features, matches, str(out / store)],
    }
    fewer = ["--top-k", "300"] if store == "features.h5" else []
    return [*words[store], "--config", "orb", *fewer]


def write_stores(root: Path, n_images: int, size: tuple[int, int] = (320, 240)) -> None:
    """Photos, all their pairs, and the stores of a run on one machine."""
    write_small_photos(root / "photos", n_images, size)
    assert finish(["pairs", str(root / "photos"), str(root / "pairs.txt"), "-q"]) == 0
    for store in STORES:
        assert finish([*stage_command(root, root, store), "-q"]) == 0
