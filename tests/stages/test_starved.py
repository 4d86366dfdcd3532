"""Why there is no model: the first stage that gave too little is named with its numbers."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from in_process import silk_sfm
from PIL import Image
from small_photos import write_small_weights

from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.stages.starved import starved_stage
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance, VerifiedStore, VerifiedWriter

MADE = Provenance("made up", {}, {})
NAMES = ["a.png", "b.png", "c.png"]
PAIRS = list(combinations(NAMES, 2))


def text(
    tmp_path: Path, n_keypoints: list[int], n_tentative: list[int], n_inliers: list[int]
) -> str:
    """What is said of three images and the first pairs of them."""
    with FeatureWriter(tmp_path / "f.h5", MADE) as store:
        for name, n in zip(NAMES, n_keypoints, strict=True):
            ones = np.ones(n, np.float32)
            store.add(
                name, LocalFeatures(np.zeros((n, 2), np.float32), ones, ones[:, None], (9, 9))
            )
    pairs = PAIRS[: len(n_tentative)]
    with VerifiedWriter(tmp_path / "v.h5", MADE) as store:
        for pair, tentative, inliers in zip(pairs, n_tentative, n_inliers, strict=True):
            rows = np.arange(inliers, dtype=np.int32)
            kept = Matches(np.stack([rows, rows], axis=1), np.ones(inliers, np.float32))
            geometry = TwoViewGeometry("fundamental", np.eye(3), kept, 1.0, tentative)
            store.add_pair(pair, geometry, 500)
    with FeatureStore(tmp_path / "f.h5") as features, VerifiedStore(tmp_path / "v.h5") as verified:
        return starved_stage(features, verified, NAMES, pairs)


@pytest.mark.parametrize(
    ("n_keypoints", "n_tentative", "n_inliers", "message"),
    [
        (
            [0, 0, 0],
            [0, 0, 0],
            [0, 0, 0],
            "Extraction starved: 0 keypoints in a typical image. Try a larger --max-size, a larger "
            "top-k, and photos that are sharp and not blank.",
        ),
        (
            [500, 99, 3],  # the median counts
            [90, 90, 90],
            [50, 50, 50],
            "Extraction starved: 99 keypoints in a typical image. Try a larger --max-size, a "
            "larger top-k, and photos that are sharp and not blank.",
        ),
        (
            [500, 500, 500],
            [],
            [],
            "Pairing starved: no pair was verified. Give more photos or another --pairing.",
        ),
        (
            [500, 100, 3],
            [0, 29, 3],
            [0, 0, 0],
            "Matching starved: at most 29 matches in a pair. Try photos that overlap more, "
            "--scales 1 0.7 0.5 when they are from different distances, or a lower matcher "
            "threshold.",
        ),
        (
            [500, 500, 500],
            [30, 200, 3],
            [0, 0, 0],
            "Verification starved: of 3 pairs none has enough inliers, with up to 200 matches. Try "
            "a larger verifier threshold, or fewer minimum inliers.",
        ),
        (
            [500, 500, 500],
            [30, 200, 3],
            [0, 20, 0],
            "Mapping starved: 1 of 3 pairs are verified, but none of them could start a model. Try "
            "photos taken from places further apart, or --intrinsics.",
        ),
    ],
)
def test_messages(
    tmp_path: Path,
    n_keypoints: list[int],
    n_tentative: list[int],
    n_inliers: list[int],
    message: str,
) -> None:
    assert text(tmp_path, n_keypoints, n_tentative, n_inliers) == message


# ---------- the same, said by the program ----------


def reconstruct(root: Path, *flags: object) -> str:
    """The one line that `silk-sfm reconstruct` ends with on root/photos."""
    write_small_weights(root / "micro.safetensors")
    weights = ["--extractor.weights", root / "micro.safetensors", "--device", "cpu"]
    done = silk_sfm("reconstruct", root / "photos", root / "out", *weights, *flags)
    assert done.status == 1
    assert done.err.startswith("silk-sfm reconstruct: error: ")
    assert done.err.count("\n") == 1
    assert not (root / "out" / "sparse").exists()
    return done.err


def save_photos(folder: Path, photos: list[np.ndarray]) -> None:
    folder.mkdir()
    for name, pixels in zip(NAMES, photos, strict=False):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def test_blank_photos(tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", [np.full((60, 80), 128)] * 3)
    assert " Extraction starved: 0 keypoints in a typical image. Try a larger" in reconstruct(
        tmp_path
    )


def test_photos_of_different_things(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save_photos(tmp_path / "photos", [rng.uniform(0, 255, (80, 100)) for _ in range(3)])
    strict = ["--matcher.threshold", 0.99]
    assert " Matching starved: at most 0 matches in a pair. Try" in reconstruct(tmp_path, *strict)


def test_matches_without_a_geometry(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save_photos(tmp_path / "photos", [rng.uniform(0, 255, (80, 100)) for _ in range(2)])
    flags = ["--matcher", "mutual", "--verifier.min-inliers", 400]
    said = reconstruct(tmp_path, *flags)
    assert " Verification starved: of 1 pairs none has enough inliers, with up to " in said


def test_one_photo(tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", [np.full((60, 80), 128)])
    assert reconstruct(tmp_path).endswith(
        f": Only 1 of 1 images in {tmp_path}/photos can be used. A model needs at least two.\n"
    )
