"""SIFT by OpenCV and by COLMAP, and ORB: places, scales, directions and descriptors."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
import pytest

from silk_sfm.colmap.sift import ColmapSift, ColmapSiftOptions
from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.extractors.orb import Orb, OrbOptions, unit_descriptors
from silk_sfm.extractors.sift import Sift, SiftOptions, normalise
from silk_sfm.features import LocalFeatures

SIFTS = {"opencv": lambda: Sift(SiftOptions()), "colmap": lambda: ColmapSift(ColmapSiftOptions())}


def blob(x: float, y: float, sigma: float = 4.0, size: tuple[int, int] = (100, 80)) -> np.ndarray:
    """A bright Gaussian blob: SIFT finds its centre and its size."""
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    value = 0.1 + 0.8 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.asarray(value, np.float32)


def texture(width: int = 200, height: int = 160, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((height // 8, width // 8)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


@pytest.mark.parametrize("kind", SIFTS)
@pytest.mark.parametrize("centre", [(50.0, 30.0), (48.37, 33.81)])
def test_the_centre_of_a_blob(kind: str, centre: tuple[float, float]) -> None:
    found = SIFTS[kind]()(blob(*centre))
    strongest = found.keypoints[found.scores.argmax()] if kind == "opencv" else found.keypoints[0]
    np.testing.assert_allclose(strongest, centre, atol=0.05)


@pytest.mark.parametrize("kind", SIFTS)
def test_the_scale_of_a_blob_is_a_sigma_in_pixels(kind: str) -> None:
    small, large = (SIFTS[kind]()(blob(50, 40, sigma)) for sigma in (4.0, 8.0))
    assert small.scales is not None and large.scales is not None
    assert small.scales[0] == pytest.approx(4.0, rel=0.2)
    assert large.scales[0] == pytest.approx(2 * small.scales[0], rel=0.08)


@pytest.mark.parametrize("kind", SIFTS)
def test_directions_count_from_x_towards_y(kind: str) -> None:
    """A blob on a slope: the gradient points to where the slope rises."""
    rising_down = blob(50, 40) * 0.5 + np.linspace(0, 0.4, 80, dtype=np.float32)[:, None]
    rising_right = blob(50, 40) * 0.5 + np.linspace(0, 0.4, 100, dtype=np.float32)[None]
    for image, degrees in ((rising_down, 90.0), (rising_right, 0.0)):
        found = SIFTS[kind]()(np.asarray(image, np.float32))
        assert found.orientations is not None and len(found)
        off = (found.orientations - degrees + 180) % 360 - 180
        assert np.abs(off).min() < 12
        assert (found.orientations >= 0).all() and (found.orientations < 360).all()


@pytest.mark.parametrize("kind", [*SIFTS, "orb"])
@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_no_shift_between_an_image_and_its_scaled_copy(kind: str, factor: float) -> None:
    """A keypoint half a pixel off in both would be (factor - 1) / 2 pixels off between them."""
    extractor: Any = Orb(OrbOptions()) if kind == "orb" else SIFTS[kind]()
    image = texture(640, 480)
    size = (round(640 * factor), round(480 * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    copy = np.clip(cv2.resize(image, size, interpolation=way), 0, 1)
    a, b = extractor(image), extractor(copy)
    scale = np.array(size) / (640, 480)
    offsets, n_same = offsets_of_matches(a, b, lambda xy: (xy + 0.5) * scale - 0.5)
    assert n_same > 100
    np.testing.assert_allclose(offsets.mean(axis=0), 0, atol=0.08 if kind == "orb" else 0.03)


def offsets_of_matches(a: LocalFeatures, b: LocalFeatures, move: Any) -> tuple[np.ndarray, int]:
    """(K, 2) from where keypoints of a should lie in b to where they are; mutual neighbours."""
    similarity = a.descriptors @ b.descriptors.T
    best = similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[best] == np.arange(len(a))
    offsets = b.keypoints[best[mutual]] - move(a.keypoints[mutual])
    close = np.abs(offsets).max(axis=1) < 2
    return offsets[close], int(close.sum())


@pytest.mark.parametrize("kind", SIFTS)
def test_turned_copies_match(kind: str) -> None:
    image = texture()
    a, b = SIFTS[kind]()(image), SIFTS[kind]()(np.ascontiguousarray(np.rot90(image)))
    turned = lambda xy: np.stack([xy[:, 1], image.shape[1] - 1 - xy[:, 0]], axis=1)  # noqa: E731
    offsets, n_same = offsets_of_matches(a, b, turned)
    assert n_same > 0.6 * len(a)
    assert np.abs(offsets.mean(axis=0)).max() < 0.05


def test_rootsift_is_the_hellinger_kernel() -> None:
    raw = np.random.default_rng(0).integers(0, 200, (5, 128)).astype(np.float32)
    root = normalise(raw, rootsift=True)
    shares = raw / raw.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(root @ root.T, np.sqrt(shares) @ np.sqrt(shares).T, atol=1e-6)
    plain = normalise(raw, rootsift=False)
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1), 1, atol=1e-6)


def test_sift_descriptors_are_opencvs() -> None:
    pixels = np.uint8(np.rint(texture() * 255))
    found = Sift(SiftOptions(rootsift=False, top_k=0))(pixels.astype(np.float32) / 255)
    points, raw = cv2.SIFT_create(enable_precise_upscale=True).detectAndCompute(pixels, None)
    expected = {(*p.pt, p.angle): row for p, row in zip(points, raw, strict=True)}
    assert found.orientations is not None and len(found) == len(expected)
    for xy, angle, row in zip(found.keypoints, found.orientations, found.descriptors, strict=True):
        theirs = expected[(float(xy[0]), float(xy[1]), float(angle))]
        np.testing.assert_allclose(row, theirs / np.linalg.norm(theirs), atol=1e-6)


def test_top_k_keeps_the_best() -> None:
    every = Sift(SiftOptions(top_k=0))(texture())
    few = Sift(SiftOptions(top_k=20))(texture())
    assert len(few) == 20 < len(every)
    np.testing.assert_array_equal(few.keypoints, every.keypoints[:20])
    np.testing.assert_allclose(few.descriptors, every.descriptors[:20], atol=1e-6)


def test_upright_sift_has_each_place_once() -> None:
    several = Sift(SiftOptions())(texture())
    upright = Sift(SiftOptions(upright=True))(texture())
    assert upright.orientations is not None and several.scales is not None
    assert (upright.orientations == 0).all()
    places = {(*xy, s) for xy, s in zip(several.keypoints.tolist(), several.scales, strict=True)}
    assert len(places) == len(upright) < len(several)


def test_colmap_sift_ranks_by_scale_and_keeps_colmaps_frame() -> None:
    found = ColmapSift(ColmapSiftOptions(max_num_features=50))(texture())
    assert found.scales is not None
    np.testing.assert_array_equal(found.scores, found.scales)
    assert (np.diff(found.scores) <= 0).all()
    every = ColmapSift(ColmapSiftOptions())(texture())
    assert 50 <= len(found) < len(every)
    assert {tuple(xy) for xy in found.keypoints} <= {tuple(xy) for xy in every.keypoints}
    assert np.median(found.scales) > 1.2 * np.median(every.scores)


def test_cosine_of_orb_descriptors_is_the_hamming_distance() -> None:
    packed = np.random.default_rng(0).integers(0, 256, (40, 32)).astype(np.uint8)
    unit = unit_descriptors(packed)
    hamming = np.array([[cv2.norm(a, b, cv2.NORM_HAMMING) for b in packed] for a in packed])
    np.testing.assert_array_equal(unit @ unit.T, 1 - 2 * hamming / 256)
    np.testing.assert_array_equal(unit.astype(np.float16).astype(np.float32), unit)


def test_orb_without_limit_and_with() -> None:
    every, few = (Orb(OrbOptions(top_k=k, fast_threshold=5))(texture()) for k in (0, 30))
    assert len(every) > 60 and 0 < len(few) <= 30


@pytest.mark.parametrize("side", [1, 2, 14, 64, 65])
def test_orb_leaves_out_levels_without_a_pixel(side: int) -> None:
    image = texture()[:side]
    assert Orb(OrbOptions(scale_factor=2.0))(image).image_size == (200, side)


@pytest.mark.parametrize("octave", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["estimate_affine_shape", "domain_size_pooling"])
def test_colmaps_covariant_detector_does_not_end_the_process(kind: str, octave: int) -> None:
    """It would, one pixel below the smallest side that it takes."""
    options: Any = {kind: True, "first_octave": octave, "peak_threshold": 1e-4}
    sift = ColmapSift(ColmapSiftOptions(**options))
    least = 31 if octave == 1 else 16
    assert sift(texture()[:least]).image_size == (200, least)
    for side in (least - 1, 5, 1):
        assert len(sift(texture()[:side])) == 0
    assert len(sift(texture())) > 10


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (lambda: SiftOptions(top_k=-1), "top_k must be at least 0, got -1."),
        (lambda: SiftOptions(n_octave_layers=0), "n_octave_layers must be at least 1, got 0."),
        (lambda: SiftOptions(sigma=0.0), "sigma must be above 0, got 0.0."),
        (lambda: OrbOptions(scale_factor=1.0), "scale_factor must be above 1, got 1.0."),
        (lambda: OrbOptions(n_levels=0), "n_levels must be at least 1, got 0."),
        (lambda: OrbOptions(fast_threshold=256), "fast_threshold must lie in 0..255, got 256."),
        (lambda: ColmapSiftOptions(num_octaves=0), "num_octaves must be above 0, got 0."),
    ],
)
def test_options_are_checked(options: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        options()


@pytest.mark.parametrize(
    ("extractor", "name"),
    [
        (Sift(SiftOptions()), "SIFT"),
        (Orb(OrbOptions()), "ORB"),
        (ColmapSift(ColmapSiftOptions()), "COLMAP's SIFT"),
    ],
)
def test_colour_is_refused(extractor: Any, name: str) -> None:
    with pytest.raises(ImageError) as caught:
        extractor(np.zeros((20, 30, 3), np.float32))
    assert str(caught.value) == (
        f"{name} needs an (H, W) float32 grey image, got (20, 30, 3) float32."
    )
