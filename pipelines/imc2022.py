"""SiLK in the Image Matching Challenge 2022, by the recipe of its authors' notebook.

    python pipelines/imc2022.py DATA [--out OUT] [--weights coco-rgb-aug] [--max-size 1600]
        [--max-pairs 100] [--device auto]

DATA is the competition's `train` (scaling_factors.csv and a folder per scene), which is scored with
mAA, or a folder with test.csv and test_images. Both get OUT/imc2022/submission.csv.

The recipe `imc2022`: no suppression, 10,000 keypoints, double softmax at temperature 0.1 with a
distance below 0.99, then OpenCV's MAGSAC. The authors' weights `coco-rgb-aug` are the ones of their
submission; the default are the weights in the package.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import silk_sfm


def main() -> None:
    """Estimate all matrices, score them where the truth is known, write the submission."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("imc2022_out"))
    parser.add_argument("--weights", default="silk")
    parser.add_argument("--max-size", type=int, default=1600)
    parser.add_argument("--max-pairs", type=int, help="of each training scene; all without it")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    (method,) = silk_sfm.read_methods(["imc2022"])
    method = replace(method, recipe=recipe(method.recipe, arguments.weights, arguments.max_size))
    options = silk_sfm.Imc2022Options(max_pairs=arguments.max_pairs)
    protocol = silk_sfm.Imc2022(arguments.data, arguments.out, options)
    once = silk_sfm.EvaluationOptions(repeats=1)
    evaluation = silk_sfm.Evaluation(protocol, [method], arguments.out, once, arguments.device)
    results = silk_sfm.Results(protocol.title, evaluation.run())
    results.write(arguments.out)
    print(results.text(), *evaluation.exported, sep="\n")


def recipe(shipped: silk_sfm.Recipe, weights: str, max_size: int) -> silk_sfm.Recipe:
    """The shipped recipe with other weights, on photos of another size."""
    silk = replace(shipped.extractor.options, weights=weights)
    return replace(
        shipped,
        extractor=replace(shipped.extractor, options=silk),
        extraction=replace(shipped.extraction, max_size=max_size),
    )


if __name__ == "__main__":
    main()
