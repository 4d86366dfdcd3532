"""DAISY against OpenCV's recorded numbers, and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import shared

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.extractors.daisy import RING_BLURS_PX, Daisy, DaisyOptions, gradient_maps


def image(height: int = 80, width: int = 100) -> np.ndarray:
    rough = np.random.default_rng(0).random((height // 5, width // 5)).astype(np.float32)
    return np.ascontiguousarray(np.kron(rough, np.ones((5, 5), np.float32)))


def test_as_recorded_from_opencv() -> None:
    """The record gave RGB to a function that takes BGR: its grey weighs red as blue."""
    recorded = np.load(shared("reference_others", "msnet", "daisy_48x64.npz"))
    weights = np.array([0.114, 0.587, 0.299], np.float32)
    grey = np.asarray(recorded["image_uint8_as_used"] @ weights / 255, np.float32)
    rows, columns = np.mgrid[0:48:4, 0:64:4]
    places = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    found = Daisy(DaisyOptions()).describe(grey, places)
    expected = recorded["desc_stride4"].reshape(200, -1).T
    inner = ((places > 0) & (places < [60, 44])).all(axis=1)
    errors = np.abs(found - expected)
    assert errors[inner].max() < 4e-3 and np.median(errors[inner].max(axis=1)) < 1.5e-3
    assert errors.max() < 0.01


def test_a_slope_has_one_direction() -> None:
    slope = np.tile(np.linspace(0, 1, 90, dtype=np.float32), (70, 1))
    histograms = Daisy(DaisyOptions()).describe(slope, np.array([(45, 35)], np.float32))
    centre = histograms[0, :8]
    expected = np.maximum(np.cos(2 * np.pi * np.arange(8) / 8), 0)
    np.testing.assert_allclose(centre / centre[0], expected, atol=1e-3)
    np.testing.assert_allclose(histograms.reshape(25, 8), np.tile(centre, (25, 1)), atol=1e-3)


def test_rings_are_blurred_by_half_their_radius() -> None:
    assert RING_BLURS_PX == (2.5, 5.0, 7.5)
    edge = np.zeros((81, 121), np.float32)
    edge[:, 60:] = 1
    for layer, sigma in zip(gradient_maps(edge), RING_BLURS_PX, strict=True):
        profile = layer[40, :, 0].astype(np.float64)
        position = (np.arange(121) * profile).sum() / profile.sum()
        spread = np.sqrt(((np.arange(121) - position) ** 2 * profile).sum() / profile.sum())
        assert position == pytest.approx(59.5, abs=0.01)
        assert spread == pytest.approx(np.sqrt(sigma**2 + 1.6**2), rel=0.06)


def test_descriptors_move_with_the_image() -> None:
    daisy = Daisy(DaisyOptions())
    places = np.array([(50.25, 40.5), (45, 38)], np.float32)
    moved = daisy.describe(np.ascontiguousarray(image()[3:, 7:]), places - np.float32([7, 3]))
    np.testing.assert_allclose(daisy.describe(image(), places), moved, atol=1e-2)


def test_places_beyond_the_image_and_no_gradient_at_all() -> None:
    daisy = Daisy(DaisyOptions())
    far = daisy.describe(image(), np.array([(-5, 200), (0, 79)], np.float32))
    np.testing.assert_array_equal(far[0], far[1])
    assert not daisy.describe(np.zeros((30, 30), np.float32), np.zeros((1, 2), np.float32)).any()


def test_corners_come_strongest_first() -> None:
    found = Daisy(DaisyOptions(top_k=15))(image())
    assert len(found) == 15 and (np.diff(found.scores) <= 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)


def test_bad_options_and_images() -> None:
    with pytest.raises(ConfigError, match=r"^quality must lie in \(0, 1\), got 1\.0\.$"):
        DaisyOptions(quality=1.0)
    with pytest.raises(
        ImageError, match=r"^DAISY needs an \(H, W\) float32 grey image, got \(3, 3, "
    ):
        Daisy(DaisyOptions())(np.zeros((3, 3, 3), np.float32))
