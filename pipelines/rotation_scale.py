"""What methods lose to in-plane rotation and to scale: on turned and shrunk copies of photos.

    python pipelines/rotation_scale.py PHOTOS [--methods silk,sift] [--out OUT] [--side 640]

Writes copies turned by 0 to 180 degrees and shrunk by a factor of 1 to 4 with their exact
homographies, measures every method on them (`silk-sfm evaluate homography OUT/PHOTOS_SIDE/copies`
does the same), prints a row per angle and factor and draws the curves, all below OUT/PHOTOS_SIDE.
Run it again to go on after a stop.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import silk_sfm

DEGREES = (0, 10, 20, 30, 45, 60, 90, 135, 180)
FACTORS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
KINDS = {"turn": "turned by degrees", "scale": "shrunk by a factor"}


def main() -> None:
    """Write copies, measure, print the table, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--methods", default="silk,sift")
    parser.add_argument("--out", type=Path, default=Path("rotation_scale_out"))
    parser.add_argument("--side", type=int, default=640, help="longer side of the photos in pixels")
    arguments = parser.parse_args()
    out = arguments.out / f"{arguments.photos.resolve().name}_{arguments.side}"
    copies = out / "copies"
    if not (copies / "homographies.txt").exists():
        photos = silk_sfm.ImageFolder.open(arguments.photos)
        silk_sfm.write_copies(photos, copies, DEGREES, FACTORS, arguments.side)
    options = silk_sfm.HomographyPairsOptions()
    protocol = silk_sfm.HomographyPairs(copies, out, options)
    methods = silk_sfm.read_methods(arguments.methods.split(","))
    rows = silk_sfm.Evaluation(protocol, methods, out).run()
    results = silk_sfm.Results(protocol.title, rows)
    results.write(out)
    print(results.markdown())
    for metric in ("Success@3", "MMA@3", "inliers"):
        print(draw(rows, metric, out))


def draw(rows: Sequence[silk_sfm.Row], metric: str, out: Path) -> Path:
    """One picture: a metric over the angle and over the factor, a line for each method."""
    panels: list[silk_sfm.SweepPanel] = []
    for kind, label in KINDS.items():
        lines: dict[str, dict[float, float]] = {}
        for row in rows:
            if row.subset.startswith(kind):
                value = float(row.subset.split()[1])
                lines.setdefault(row.method, {})[value] = row.metrics[metric]
        panels.append(silk_sfm.SweepPanel(label, lines))
    path = out / f"{metric.lower().replace('@', '_at_')}.png"
    return silk_sfm.write_sweep_plot(f"{metric} on copies", metric, panels, path)


if __name__ == "__main__":
    main()
