"""COLMAP's mappers on the same verified matches: `python pipelines/mappers.py DATA`

DATA holds scenes with `images/` and `gt_sparse/`, a COLMAP model of the true cameras. Features are
extracted once for each scene, at a small size and with known intrinsics, and all mappers read them;
the hierarchical one makes groups of at most 6 photos (and 3 that they share), so that there is
something to join. AUC in percent, of the larger error of rotation and direction of each pair.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from silk_sfm import (
    CameraOptions,
    ImageFolder,
    MappingOptions,
    Recipe,
    Reconstruction,
    compare_models,
    read_model,
)

MAX_SIZE, TOP_K = 800, 2000
THRESHOLDS = (0.25, 0.5, 1.0, 3.0)
MAPPERS = {
    "incremental": MappingOptions(fallback_seeds=0),
    "global": MappingOptions(mapper="global"),
    "hierarchical": MappingOptions(mapper="hierarchical", cluster_images=6, cluster_overlap=3),
}


def main(data: Path) -> None:
    """Print a table row for each scene and mapper."""
    header = ["scene", "mapper", "registered", *(f"AUC@{t:g}" for t in THRESHOLDS)]
    print(row(*header, "points", "error px", "s"))
    print("|-" * (len(header) + 3) + "|")
    for scene in sorted(path.parent for path in data.glob("*/gt_sparse")):
        with tempfile.TemporaryDirectory() as out:
            job = reconstruction(scene, Path(out))
            for stage in (job.extract, job.match, job.verify):
                stage()
            for name, options in MAPPERS.items():
                job.recipe = replace(job.recipe, mapping=options)
                measure(scene, name, job)


def reconstruction(scene: Path, out: Path) -> Reconstruction:
    """The default recipe on smaller photos with fewer keypoints."""
    recipe = Recipe.read()
    options = replace(recipe.extractor.options, top_k=TOP_K)
    recipe = replace(
        recipe,
        extraction=replace(recipe.extraction, max_size=MAX_SIZE),
        extractor=replace(recipe.extractor, options=options),
        cameras=CameraOptions(intrinsics=scene / "gt_sparse"),
    )
    return Reconstruction(ImageFolder.open(scene / "images"), out, recipe, device="cpu")


def measure(scene: Path, mapper: str, job: Reconstruction) -> None:
    """Map, compare with the true cameras, and print a row."""
    report = job.map()
    compared = compare_models(report.model, read_model(scene / "gt_sparse"))
    aucs = [f"{auc:.1f}" for auc in compared.auc(THRESHOLDS)]
    registered = f"{compared.n_registered}/{report.n_images}"
    numbers, seconds = compared.numbers, job.costs.stages["map"]["seconds"]
    error = f"{numbers.reprojection_error:.2f}"
    print(row(scene.name, mapper, registered, *aucs, numbers.n_points, error, seconds), flush=True)


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
