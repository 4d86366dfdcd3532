"""What `--turns` gains where a photo is turned by quarters.

    python pipelines/turned_copies.py PHOTOS [--out OUT] [--size 640] [--every 1] [--recipe silk]

Each photo is matched with the next one by name, as it is and turned by 90, 180 and 270 degrees. The
table has the median count of verified matches over these pairs, without and with `--turns`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

import cv2
import numpy as np

import silk_sfm

TURNS = (0, 90, 180, 270)


def main() -> None:
    """Write the copies, run the stages both ways, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("turned_out"))
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--recipe", default="silk")
    arguments = parser.parse_args()
    copies, names = arguments.out / "copies", write_copies(arguments)
    print(f"| {arguments.recipe}, {len(names)} pairs | " + " | ".join(map(str, TURNS)) + " |")
    print("|-|-|-|-|-|")
    for flag in ("--no-turns", "--turns"):
        out = arguments.out / flag.strip("-")
        counts = verified(copies, names, out, flag, arguments.recipe)
        print(f"| `{flag}` | " + " | ".join(f"{counts[turn]:g}" for turn in TURNS) + " |")


def write_copies(arguments: argparse.Namespace) -> list[str]:
    """Write OUT/copies/NAME/first.png and second_0.png, second_90.png, ...; returns the NAMEs."""
    images = silk_sfm.ImageFolder.open(arguments.photos)
    names = []
    for first, second in list(zip(images.names, images.names[1:], strict=False))[
        :: arguments.every
    ]:
        names.append(Path(first).stem)
        folder = arguments.out / "copies" / names[-1]
        folder.mkdir(parents=True, exist_ok=True)
        a, b = (images.read(name, "rgb", arguments.size).pixels for name in (first, second))
        write(folder / "first.png", a)
        for turn in TURNS:
            write(folder / f"second_{turn}.png", np.rot90(b, turn // 90))
    return names


def write(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3) RGB in 0..1 as a PNG file."""
    cv2.imwrite(str(path), np.ascontiguousarray(np.uint8(np.rint(pixels * 255))[:, :, ::-1]))


def verified(copies: Path, names: list[str], out: Path, flag: str, recipe: str) -> dict[int, float]:
    """Median count of verified matches for each turn."""
    out.mkdir(parents=True, exist_ok=True)
    pairs, features, matches = out / "pairs.txt", out / "features.h5", out / "matches.h5"
    listed = {turn: [(f"{n}/first.png", f"{n}/second_{turn}.png") for n in names] for turn in TURNS}
    pairs.write_text("\n".join("\t".join(pair) for turn in TURNS for pair in listed[turn]) + "\n")
    run("extract", copies, features, flag, "--config", recipe)
    run("match", features, pairs, matches, "--config", recipe)
    run("verify", features, matches, out / "verified.h5", "--config", recipe)
    with silk_sfm.VerifiedStore(out / "verified.h5") as store:
        return {turn: median(len(store[pair].inliers) for pair in listed[turn]) for turn in TURNS}


def run(command: str, *words: object) -> None:
    """Run a stage; a run that was stopped goes on."""
    argv = [sys.executable, "-m", "silk_sfm", command, *map(str, words), "--quiet"]
    subprocess.run(argv, check=True)


if __name__ == "__main__":
    main()
