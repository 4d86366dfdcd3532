"""Match two photos with SiLK and draw the matches: python match_two_photos.py A B OUT.png"""

import sys
from pathlib import Path

import numpy as np

from silk_sfm import DoubleSoftmax, ImageFolder, Silk, draw_matches, write_image


def main(path_a: Path, path_b: Path, out: Path) -> None:
    silk = Silk(Silk.Options(top_k=2000))  # weights come with the package
    matcher = DoubleSoftmax(DoubleSoftmax.Options())
    pixels = [read(path) for path in (path_a, path_b)]  # (H, W, 3) float32 in 0..1
    features = [silk(image @ np.float32([0.299, 0.587, 0.114])) for image in pixels]
    matches = matcher(*features)  # .indices (M, 2), .scores (M,)
    picture = draw_matches(
        *[np.uint8(image * 255) for image in pixels],
        features[0].keypoints[matches.indices[:, 0]],
        features[1].keypoints[matches.indices[:, 1]],
        matches.scores,
        f"{len(matches)} matches",
    )
    write_image(out, picture)
    print(f"{len(features[0])} and {len(features[1])} keypoints, {len(matches)} matches -> {out}")


def read(path: Path) -> np.ndarray:
    return ImageFolder(path.parent, (path.name,)).read(path.name, "rgb", max_side=1024).pixels


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
