"""The sweep that chose the default recipe, on the Strecha scenes: one choice varied at a time.

    python pipelines/sweep.py DATA [--out OUT]

DATA as for strecha.py. The network looks at each photo once per size; every other choice starts
from there. Prints AUC@1 degree of each scene, one seed; a rerun goes on where it was stopped. These
scenes are for choosing: they say nothing of how the choice does elsewhere.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import silk_sfm


@dataclass(frozen=True)
class Choice:
    """What is varied; the defaults are the point around which."""

    max_size: int = 1600
    nms_radius: int = 4
    top_k: int = 8000
    refine: bool = True
    spread: int = 0
    matcher_threshold: float = 0.3
    verifier_threshold_px: float = 0.6
    robust: bool = True

    def detection(self) -> silk_sfm.SilkOptions:
        """The extractor's options."""
        return silk_sfm.SilkOptions(
            nms_radius=self.nms_radius, top_k=self.top_k, refine=self.refine, spread=self.spread
        )

    def recipe(self, scene: Path) -> silk_sfm.Recipe:
        """The whole recipe for a scene with known intrinsics."""
        base = silk_sfm.Recipe.read()
        matcher = replace(base.matcher.options, threshold=self.matcher_threshold)
        verifier = replace(base.verifier.options, threshold_px=self.verifier_threshold_px)
        return replace(
            base,
            extraction=silk_sfm.ExtractionOptions(max_size=self.max_size),
            extractor=silk_sfm.Chosen("silk", self.detection()),
            matcher=replace(base.matcher, options=matcher),
            verifier=replace(base.verifier, options=verifier),
            cameras=replace(base.cameras, intrinsics=scene / "gt_sparse"),
            mapping=replace(base.mapping, robust=self.robust),
        )


BASE = Choice()
CHOICES = [
    BASE,
    replace(BASE, robust=False),
    replace(BASE, nms_radius=2),
    replace(BASE, nms_radius=6),
    replace(BASE, matcher_threshold=0.1),
    replace(BASE, matcher_threshold=0.5),
    replace(BASE, verifier_threshold_px=1.0),
    replace(BASE, matcher_threshold=0.1, verifier_threshold_px=1.0),
    replace(BASE, matcher_threshold=0.1, robust=False),
    replace(BASE, top_k=4000),
    replace(BASE, refine=False),
    replace(BASE, top_k=1000),
    replace(BASE, top_k=1000, spread=1),
    replace(BASE, max_size=1024),
]


def main() -> None:
    """Run every choice on every scene and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("sweep_out"))
    arguments = parser.parse_args()
    scenes = sorted(path.parent for path in arguments.data.glob("*/gt_sparse"))
    for max_size in sorted({choice.max_size for choice in CHOICES}, reverse=True):
        choices = [choice for choice in CHOICES if choice.max_size == max_size]
        for scene in scenes:
            extract(scene, choices, arguments.out)
        for choice in choices:
            for scene in scenes:
                run(scene, choice, arguments.out)
    print(table(scenes, arguments.out))


def folder(scene: Path, choice: Choice, out: Path) -> Path:
    """Where the reconstruction of a choice lies."""
    return out / scene.name / "_".join(str(value) for value in asdict(choice).values())


def extract(scene: Path, choices: list[Choice], out: Path) -> None:
    """Write the feature store of every choice, looking at each photo once."""
    todo = [
        choice for choice in choices if not (folder(scene, choice, out) / "result.json").exists()
    ]
    if not todo:
        return
    silk = silk_sfm.Silk(silk_sfm.SilkOptions(tile_pixels=8_000_000))
    images = silk_sfm.ImageFolder.open(scene / "images")
    stores = {choice: open_store(scene, choice, out, silk.weights_digest) for choice in todo}
    try:
        for name in images.names:
            missing = [choice for choice in todo if name not in stores[choice]]
            if missing:
                photo = images.read(name, "grey", missing[0].max_size)
                view = silk.look(photo.pixels)
                detections = {choice.detection() for choice in missing}
                found = {detection: silk.choose(view, detection) for detection in detections}
                for choice in missing:
                    stores[choice].add(name, found[choice.detection()].in_file(photo.grid))
    finally:
        for store in stores.values():
            store.close()


def open_store(scene: Path, choice: Choice, out: Path, digest: str) -> silk_sfm.FeatureWriter:
    """The store that the pipeline will find and reuse."""
    where = folder(scene, choice, out)
    where.mkdir(parents=True, exist_ok=True)
    recipe = choice.recipe(scene)
    made = silk_sfm.extraction_provenance(recipe.extractor, digest, recipe.extraction)
    return silk_sfm.FeatureWriter(where / "features.h5", made)


def run(scene: Path, choice: Choice, out: Path) -> None:
    """Reconstruct, compare with the truth, keep the numbers and drop the rest."""
    where = folder(scene, choice, out)
    if (where / "result.json").exists():
        return
    images = silk_sfm.ImageFolder.open(scene / "images")
    report = silk_sfm.Reconstruction(images, where, choice.recipe(scene), device="cpu").run()
    true = silk_sfm.read_model(scene / "gt_sparse")
    result = {
        "auc": silk_sfm.compare_models(report.model, true).auc((1.0,))[0],
        "points": report.numbers.n_points,
        "track": report.numbers.track_length,
    }
    print(scene.name, asdict(choice), result, flush=True)
    shutil.rmtree(where)
    where.mkdir()
    (where / "result.json").write_text(json.dumps(result))


def table(scenes: list[Path], out: Path) -> str:
    """AUC@1 of every choice and scene, and what is different from the base."""
    header = " | ".join(scene.name for scene in scenes)
    lines = [f"| choice | {header} | mean | points |", "|-|" + "-|" * (len(scenes) + 2)]
    for choice in CHOICES:
        results = [
            json.loads((folder(scene, choice, out) / "result.json").read_text()) for scene in scenes
        ]
        aucs = [result["auc"] for result in results]
        points = sum(result["points"] for result in results)
        cells = [f"{auc:.1f}" for auc in [*aucs, sum(aucs) / len(aucs)]]
        lines.append(f"| {describe(choice)} | {' | '.join(cells)} | {points} |")
    return "\n".join(lines)


def describe(choice: Choice) -> str:
    """The values that differ from the base."""
    changed = {key: value for key, value in asdict(choice).items() if value != asdict(BASE)[key]}
    return ", ".join(f"{key} {value}" for key, value in changed.items()) or f"base: {asdict(BASE)}"


if __name__ == "__main__":
    main()
