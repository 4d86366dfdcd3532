"""Read features and matches with nothing but h5py: python read_stores.py features.h5 matches.h5"""

import sys

import h5py
import numpy as np


def main(features_path: str, matches_path: str) -> None:
    with h5py.File(features_path) as features, h5py.File(matches_path) as matches:
        name0 = next(iter(matches))  # `/` in an image name is written as `-` here
        name1 = next(iter(matches[name0]))
        matches0 = matches[name0][name1]["matches0"][()]  # (N0,) index in image 1, or -1
        rows = np.flatnonzero(matches0 >= 0)
        points0 = features[name0]["keypoints"][()][rows]  # (M, 2) x, y in pixels of the file
        points1 = features[name1]["keypoints"][()][matches0[rows]]
        width, height = features[name0]["image_size"][()]
        print(f"{name0} ({width} x {height} px) and {name1}: {len(rows)} matches")
        for (x0, y0), (x1, y1) in zip(points0[:3], points1[:3], strict=True):
            print(f"  ({x0:.2f}, {y0:.2f}) - ({x1:.2f}, {y1:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:3])
