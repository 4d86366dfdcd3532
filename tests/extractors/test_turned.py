"""Descriptors of a turned image at the keypoints of the upright one, to the end of matching."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from small_photos import write_small_photos

from silk_sfm.cli import main
from silk_sfm.extractors.sift import Sift, SiftOptions
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.extractors.turned import Turned, turn_points
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.best_turn import BestTurn, turned_features
from silk_sfm.matchers.mutual import Mutual, MutualOptions
from silk_sfm.pixels import PixelGrid
from silk_sfm.store import FeatureStore, MatchStore


def texture(height: int = 100, width: int = 130) -> np.ndarray:
    rough = np.random.default_rng(0).random((height // 5, width // 5)).astype(np.float32)
    return np.ascontiguousarray(np.kron(rough, np.ones((5, 5), np.float32)))


@pytest.fixture(scope="module")
def silk() -> Silk:
    return Silk(SilkOptions(top_k=80, nms_radius=2))


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_points_turn_as_the_pixels_do(turn: int) -> None:
    image = np.arange(5 * 7).reshape(5, 7)
    xy = np.array([(x, y) for y in range(5) for x in range(7)])
    columns, rows = turn_points(xy, (7, 5), turn).T
    np.testing.assert_array_equal(np.rot90(image, turn)[rows, columns], image.ravel())


def test_describes_the_same_keypoints_in_the_turned_image(silk: Silk) -> None:
    image = texture()
    found = Turned(silk)(image)
    upright = silk(image)
    np.testing.assert_array_equal(found.keypoints, upright.keypoints)
    np.testing.assert_array_equal(found.descriptors, upright.descriptors)
    assert found.turned is not None
    for turn in (1, 2, 3):
        places = turn_points(upright.keypoints, (130, 100), turn)
        seen = silk.describe(np.ascontiguousarray(np.rot90(image, turn)), places)
        np.testing.assert_allclose(found.turned[turn - 1], seen, atol=1e-6)


def test_a_method_without_describe_gives_the_nearest_keypoints_descriptor() -> None:
    image = np.asarray(cv2.GaussianBlur(texture(), (0, 0), 2), np.float32)
    sift = Sift(SiftOptions(upright=True))
    found = Turned(sift)(image)
    assert found.turned is not None
    norms = np.linalg.norm(found.turned, axis=2)
    assert ((norms == 0) | (np.abs(norms - 1) < 1e-5)).all()
    assert (norms > 0).mean() > 0.6, "SIFT finds most blobs again, whichever way they are turned"
    half = sift(np.ascontiguousarray(np.rot90(image, 2)))
    rows = np.flatnonzero(norms[1])
    for row in rows:
        assert (half.descriptors == found.turned[1, row]).all(axis=1).any()


def test_nothing_to_describe(silk: Silk) -> None:
    found = Turned(silk)(np.full((60, 70), 0.5, np.float32))
    assert len(found) == 0 and found.turned is not None and found.turned.shape == (3, 0, 128)


def test_selection_and_the_way_to_the_file_keep_the_turns(silk: Silk) -> None:
    found = Turned(silk)(texture())
    few = found.select(np.array([4, 1]))
    assert found.turned is not None and few.turned is not None
    np.testing.assert_array_equal(few.turned, found.turned[:, [4, 1]])
    in_file = found.in_file(PixelGrid((260, 200), (130, 100)))
    np.testing.assert_array_equal(in_file.turned, found.turned)


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_matches_copies_turned_by_quarters(silk: Silk, turn: int) -> None:
    image = texture()
    copy = np.ascontiguousarray(np.rot90(image, turn))
    a, b = Turned(silk)(image), Turned(silk)(copy)
    plain = Mutual(MutualOptions(ratio=0.8))
    best, upright = BestTurn(plain)(a, b), plain(a, b)
    assert n_right(a, b, best, turn, (130, 100)) > 15
    if turn:
        assert n_right(a, b, upright, turn, (130, 100)) < 10


def n_right(
    a: LocalFeatures, b: LocalFeatures, matches: Matches, turn: int, size: tuple[int, int]
) -> int:
    """How many matches are right for a copy after quarter turns."""
    expected = turn_points(a.keypoints, size, turn)[matches.indices[:, 0]]
    offsets = np.abs(b.keypoints[matches.indices[:, 1]] - expected).max(axis=1)
    return int((offsets < 2).sum())


class CountsRows:
    """Matches keypoint i with keypoint i as far as both images have them."""

    about = Mutual.about

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        n = min(len(a), len(b))
        return Matches(np.stack([np.arange(n)] * 2, 1).astype(np.int32), np.ones(n, np.float32))


def made_up(n: int) -> LocalFeatures:
    descriptors = np.eye(n, 4, dtype=np.float32)
    return LocalFeatures(np.zeros((n, 2), np.float32), np.ones(n, np.float32), descriptors, (9, 9))


def test_keypoints_without_a_turned_descriptor_stay_out() -> None:
    b = made_up(4)
    turned = np.zeros((3, 4, 4), np.float32)
    turned[1, [1, 3], 0] = 1  # turned by 180 degrees only keypoints 1 and 3 were found
    a = made_up(2)
    matches = BestTurn(CountsRows())(a, replace(b, turned=turned))
    np.testing.assert_array_equal(matches.indices, [[0, 0], [1, 1]])  # upright wins when equal
    matches = BestTurn(CountsRows())._turned(a, replace(b, turned=turned), turned[1], 1)
    np.testing.assert_array_equal(matches.indices, [[0, 1], [1, 3]])


def test_places_sizes_and_directions_turn_with_the_image() -> None:
    """LightGlue and AdaLAM look at these; both must be those of the image that was described."""
    b = replace(
        made_up(1),
        keypoints=np.float32([(2, 1)]),
        image_size=(9, 5),
        orientations=np.float32([30]),
        turned=np.ones((3, 1, 4), np.float32),
    )
    for row in range(3):
        seen = turned_features(b, b.turned[row], row)
        image = np.rot90(np.arange(5 * 9).reshape(5, 9), row + 1)
        (x, y), size = seen.keypoints[0].astype(int), seen.image_size
        assert image[y, x] == 9 * 1 + 2 and size == image.shape[::-1]
        np.testing.assert_allclose(seen.orientations, (30 - 90 * (row + 1)) % 360, atol=1e-4)


def test_features_without_turns_are_matched_as_they_are() -> None:
    a, b = made_up(3), made_up(4)
    np.testing.assert_array_equal(BestTurn(CountsRows())(a, b).indices[:, 0], [0, 1, 2])


def test_from_photos_to_matches(tmp_path: Path) -> None:
    """hloc's datasets are those of the upright photo, whatever else there is."""
    photos = tmp_path / "photos"
    write_small_photos(photos, 1)
    upright = cv2.imread(str(photos / "000.png"))
    cv2.imwrite(str(photos / "001.png"), np.ascontiguousarray(np.rot90(upright)))
    names = {flag: tmp_path / f"{flag}.h5" for flag in ("--turns", "--no-turns")}
    pairs, found = tmp_path / "pairs.txt", {}
    for flag, store in names.items():
        top = ["--top-k", "150", "--nms-radius", "2"]
        assert main(["extract", str(photos), str(store), flag, *top]) == 0
        assert main(["pairs", str(store), str(pairs), "--overwrite"]) == 0
        out = tmp_path / f"matches{flag}.h5"
        assert main(["match", str(store), str(pairs), str(out)]) == 0
        with FeatureStore(store) as features, MatchStore(out) as matches:
            a, b = features["000.png"], features["001.png"]
            right = n_right(a, b, matches["000.png", "001.png"], 1, a.image_size)
            found[flag] = right
            assert features.has_turns == (flag == "--turns")
    assert found["--turns"] > 40 > 4 * found["--no-turns"]
    with h5py.File(names["--turns"]) as turned, h5py.File(names["--no-turns"]) as plain:
        for dataset in ("keypoints", "descriptors", "scores"):
            np.testing.assert_array_equal(turned[f"000.png/{dataset}"], plain[f"000.png/{dataset}"])
        assert turned["000.png/descriptors_90"].shape == turned["000.png/descriptors"].shape
        assert turned["000.png/descriptors_270"].dtype == np.float16
        assert "descriptors_90" not in plain["000.png"]
