"""SiLK beside COLMAP's SIFT on folders of photos with nothing but their EXIF.

    python pipelines/exif_photos.py PHOTOS [PHOTOS ...] [--out OUT] [--recipe silk]

There is no truth to compare with: the table shows how many photos each method registers, how many
points it finds, and the seconds of the whole run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import silk_sfm


def main() -> None:
    """Run every folder and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("exif_out"))
    parser.add_argument("--recipe", default="silk")
    arguments = parser.parse_args()
    print("| photos | method | registered | points | track | error px | seconds |\n|-|-|-|-|-|-|-|")
    for photos in arguments.photos:
        images = silk_sfm.ImageFolder.open(photos)
        scene = "_".join(photos.parts[-2:])
        for method, run in {"SiLK": run_silk, "SIFT": run_sift}.items():
            started = time.perf_counter()
            try:
                registered = run(images, arguments.out / scene / method.lower(), arguments.recipe)
            except silk_sfm.ReconstructionError as error:
                registered = f"no model: {error} | 0 | 0 | 0"
            seconds = time.perf_counter() - started
            print(f"| {scene} | {method} | {registered} | {seconds:.0f} |", flush=True)


def run_silk(images: silk_sfm.ImageFolder, out: Path, recipe_name: str) -> str:
    """The whole pipeline with cameras from EXIF."""
    recipe = silk_sfm.Recipe.read(recipe_name)
    silk_sfm.Reconstruction(images, out, recipe, device="cpu", overwrite=True).run()
    return numbers(images, out)


def run_sift(images: silk_sfm.ImageFolder, out: Path, _: str) -> str:
    """COLMAP's SIFT at full size with cameras from EXIF."""
    out.mkdir(parents=True, exist_ok=True)
    cameras = silk_sfm.assign_cameras(images.root, images.names, silk_sfm.CameraOptions())
    options = silk_sfm.SiftOptions(), silk_sfm.MappingOptions()
    silk_sfm.sift_baseline(images.root, images.names, cameras, out, *options)
    return numbers(images, out)


def numbers(images: silk_sfm.ImageFolder, out: Path) -> str:
    """The cells of a row."""
    found = silk_sfm.summarise(silk_sfm.read_model(out / "sparse" / "0"))
    return (
        f"{found.n_images}/{len(images.names)} | {found.n_points} | {found.track_length:.2f} | "
        f"{found.reprojection_error:.2f}"
    )


if __name__ == "__main__":
    main()
