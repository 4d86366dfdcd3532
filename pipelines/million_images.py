"""What a large collection costs, on paper: seconds, bytes, files and nodes of every stage.

    python pipelines/million_images.py --images 1000000 --pairs-each 20 --cores 640

Computes the table of docs/scaling.md from constants that were measured one by one; that page names
the command behind each. Nothing of this size was run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

CORE_SECONDS = {"extraction": 19.4, "matching": 0.19, "verification": 0.020}
"""For an image of 1600 x 1200 px, and for a pair of 8,192 keypoints each."""
FEATURE_BYTES, MATCH_BYTES, VERIFIED_BYTES = 2.14e6, 5.7e3, 4.0e3
INDEX_BYTES = {"image": 705, "pair": 106}
ADOPTION_SECONDS = {"image": 1.7e-3, "pair": 43e-6}
OPENING_SECONDS = 35e-6
LIST_BYTES, LIST_SECONDS = 436, 3.8e-6
DATABASE_ROWS_PER_SECOND = 27_000
IMAGES_IN_A_BLOCK, PAIRS_IN_A_BLOCK = 30, 1024


@dataclass(frozen=True)
class Row:
    """A line of the table; what a stage does not have is left empty."""

    what: str
    core_hours: float | None = None
    hours: float | None = None
    gigabytes: float | None = None
    files: float | None = None

    def __str__(self) -> str:
        figures = (self.core_hours, self.hours, self.gigabytes, self.files)
        shown = ["" if figure is None else f"{_rounded(figure):,g}" for figure in figures]
        return f"| {self.what} | {' | '.join(shown)} |"


def _rounded(figure: float) -> float:
    """Two digits: the constants have no more."""
    return float(f"{figure:.2g}")


def plan(n_images: int, n_pairs: int, n_cores: int) -> Iterator[Row]:
    """The table, stage by stage."""
    work = {
        "extraction": (n_images, FEATURE_BYTES, "image", IMAGES_IN_A_BLOCK),
        "matching": (n_pairs, MATCH_BYTES, "pair", PAIRS_IN_A_BLOCK),
        "verification": (n_pairs, VERIFIED_BYTES, "pair", PAIRS_IN_A_BLOCK),
    }
    for stage, (n_items, n_bytes, item, in_a_block) in work.items():
        hours = n_items * CORE_SECONDS[stage] / 3600
        yield Row(stage, hours, hours / n_cores, n_items * n_bytes / 1e9, n_items / in_a_block)
        taking_over = n_items * ADOPTION_SECONDS[item] / 3600
        index = n_items * INDEX_BYTES[item] / 1e9
        yield Row(f"{stage}: taking over, index, one process", None, taking_over, index, 1)
    yield Row("opening the features, in every worker", None, n_images * OPENING_SECONDS / 3600)
    seconds, size = n_pairs * LIST_SECONDS, n_pairs * LIST_BYTES / 1e9
    yield Row("the pair list, in memory of the one process", None, seconds / 3600, size)
    yield Row("rows of the database", None, n_pairs / DATABASE_ROWS_PER_SECOND / 3600)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--pairs-each", type=int, default=20)
    parser.add_argument("--cores", type=int, default=640)
    given = parser.parse_args()
    print("| what | core hours | hours | GB | files |\n|-|-|-|-|-|")
    for row in plan(given.images, given.images * given.pairs_each, given.cores):
        print(row)
