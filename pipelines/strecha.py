"""SiLK beside COLMAP's SIFT on the Strecha scenes, with known intrinsics and true poses.

    python pipelines/strecha.py DATA [--out OUT] [--seeds 3] [--recipe silk]

DATA holds a folder per scene (fountain-P11, Herz-Jesus-P8, entry-P10) with `images/` and
`gt_sparse/`, a COLMAP model with the true cameras. Both methods get the true intrinsics, all pairs,
and the same mapper. The error of a pair of images is the larger one of rotation and translation
direction; a pair with an image that is not registered has failed. Figures are medians over seeds.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import silk_sfm

THRESHOLDS = (0.25, 0.5, 1.0, 3.0)


@dataclass(frozen=True)
class Run:
    """One reconstruction of one scene."""

    registered: int
    auc: list[float]
    points: int
    track_length: float
    reprojection_error: float
    seconds: dict[str, float]


def main() -> None:
    """Run every scene and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("strecha_out"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", default="silk")
    parser.add_argument("--without-sift", action="store_true")
    arguments = parser.parse_args()
    scenes = sorted(path.parent for path in arguments.data.glob("*/gt_sparse"))
    if not scenes:
        parser.error(f"no scene (a folder with images/ and gt_sparse/) in {arguments.data}")
    print(
        "| scene | method | registered | AUC@0.25 | @0.5 | @1 | @3 | points | track | error px "
        "| extract s | match s | verify s | map s |\n|-|-|-|-|-|-|-|-|-|-|-|-|-|-|"
    )
    for scene in scenes:
        methods = [(Path(arguments.recipe).stem, partial(run_recipe, recipe_name=arguments.recipe))]
        if not arguments.without_sift:
            methods.append(("COLMAP SIFT", run_sift))
        for method, run in methods:
            out = arguments.out / scene.name / method
            runs = [run(scene, out / str(seed), seed) for seed in range(arguments.seeds)]
            print(row(scene, method, runs), flush=True)


def run_recipe(scene: Path, out: Path, seed: int, recipe_name: str) -> Run:
    """The whole pipeline, anew; features and matches of the first seed serve the others."""
    if out.exists():
        shutil.rmtree(out)
    recipe = silk_sfm.Recipe.read(recipe_name)
    recipe = replace(
        recipe,
        cameras=replace(recipe.cameras, intrinsics=scene / "gt_sparse"),
        verification=replace(recipe.verification, seed=seed),
        mapping=replace(recipe.mapping, seed=seed),
    )
    if seed:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("features.h5", "matches.h5"):
            silk_sfm.pack(out.parent / "0" / name)
            shutil.copyfile(out.parent / "0" / name, out / name)
    images = silk_sfm.ImageFolder.open(scene / "images")
    job = silk_sfm.Reconstruction(images, out, recipe, device="cpu")
    job.run()
    stages = json.loads((out / "summary.json").read_text())["stages"]
    seconds = {stage: costs["seconds"] for stage, costs in stages.items()}
    return measure(scene, out / "sparse" / "0", seconds)


def run_sift(scene: Path, out: Path, seed: int) -> Run:
    """COLMAP's SIFT at full size; its matching includes verification."""
    images = silk_sfm.ImageFolder.open(scene / "images")
    intrinsics = silk_sfm.CameraOptions(intrinsics=scene / "gt_sparse")
    cameras = silk_sfm.assign_cameras(images.root, images.names, intrinsics)
    out.mkdir(parents=True, exist_ok=True)
    mapping = silk_sfm.MappingOptions(seed=seed)
    result = silk_sfm.sift_baseline(
        images.root, images.names, cameras, out, silk_sfm.SiftOptions(), mapping
    )
    seconds = {
        "extract": result.extract_seconds,
        "match": result.match_seconds,
        "verify": 0.0,
        "map": result.mapping.seconds,
    }
    return measure(scene, out / "sparse" / "0", seconds)


def measure(scene: Path, model_dir: Path, seconds: dict[str, float]) -> Run:
    """Compare a model with the true one."""
    model, true = silk_sfm.read_model(model_dir), silk_sfm.read_model(scene / "gt_sparse")
    compared = silk_sfm.compare_models(model, true)
    return Run(
        registered=compared.n_registered,
        auc=compared.auc(THRESHOLDS),
        points=compared.numbers.n_points,
        track_length=compared.numbers.track_length,
        reprojection_error=compared.numbers.reprojection_error,
        seconds=seconds,
    )


def row(scene: Path, method: str, runs: list[Run]) -> str:
    """A row of the table; extraction and matching are timed in the first run alone."""
    n_images = len(silk_sfm.ImageFolder.open(scene / "images").names)
    aucs = [f"{median(run.auc[i] for run in runs):.1f}" for i in range(len(THRESHOLDS))]
    seconds = [
        f"{runs[0].seconds[stage]:.1f}"
        if stage in ("extract", "match")
        else f"{median(run.seconds[stage] for run in runs):.1f}"
        for stage in ("extract", "match", "verify", "map")
    ]
    cells = [
        scene.name,
        method,
        f"{median(run.registered for run in runs):.0f}/{n_images}",
        *aucs,
        f"{median(run.points for run in runs):.0f}",
        f"{median(run.track_length for run in runs):.2f}",
        f"{median(run.reprojection_error for run in runs):.2f}",
        *seconds,
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
