"""How many of the pairs that verify does retrieval propose? `python pipelines/retrieval.py DATA`

All pairs of the photos are matched and verified. A pair is true when it has at least so many
inliers; recall is the share of true pairs among those that retrieval proposes. DATA holds the
folders `strecha` (three scenes, all photos together) and `lund`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

from silk_sfm import (
    FeatureStore,
    ImageFolder,
    Recipe,
    Reconstruction,
    VerifiedStore,
    retrieve_pairs,
)

MAX_SIZE, TOP_K = 800, 2000
COMPARED_BY: tuple[Literal["vocabulary", "vlad"], ...] = ("vocabulary", "vlad")
SIMILAR = (5, 10, 15)
LEAST_INLIERS = (15, 30, 60)


def main(data: Path) -> None:
    """Print a table row for each set of photos and each number of similar images."""
    header = [f"recall, >= {least} inliers" for least in LEAST_INLIERS]
    print(row("photos", "compared by", "similar", "pairs", *header, "s"))
    print("|-" * (5 + len(header)) + "|")
    for name in ("strecha", "lund"):
        with tempfile.TemporaryDirectory() as out:
            job = reconstruction(data / name, Path(out))
            for stage in (job.extract, job.match, job.verify):
                stage()
            with (
                FeatureStore(job.files.features) as features,
                VerifiedStore(job.files.verified) as verified,
            ):
                measure(name, features, verified)


def reconstruction(photos: Path, out: Path) -> Reconstruction:
    """The default recipe on smaller photos with fewer keypoints."""
    recipe = Recipe.read()
    extraction = replace(recipe.extraction, max_size=MAX_SIZE)
    options = replace(recipe.extractor.options, top_k=TOP_K)
    extractor = replace(recipe.extractor, options=options)
    recipe = replace(recipe, extraction=extraction, extractor=extractor)
    return Reconstruction(ImageFolder.open(photos), out, recipe)


def measure(name: str, features: FeatureStore, verified: VerifiedStore) -> None:
    """Print recall for each way of comparing and each number of similar images."""
    inliers = {pair: len(verified[pair].inliers) for pair in verified.pairs(features.names)}
    for by, n_similar in product(COMPARED_BY, SIMILAR):
        start = time.perf_counter()
        proposed = set(map(frozenset, retrieve_pairs(features.names, features, n_similar, by)))
        seconds = time.perf_counter() - start
        recalls = [recall(inliers, proposed, least) for least in LEAST_INLIERS]
        n_all = f"{len(proposed)} of {len(inliers)}"
        print(row(name, by, n_similar, n_all, *recalls, f"{seconds:.1f}"), flush=True)


def recall(inliers: dict[tuple[str, str], int], proposed: set[frozenset[str]], least: int) -> str:
    """Share of the pairs with at least `least` inliers that are proposed, and their number."""
    true = [frozenset(pair) for pair, count in inliers.items() if count >= least]
    if not true:
        return "no such pair"
    return f"{sum(pair in proposed for pair in true) / len(true):.3f} of {len(true)}"


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
