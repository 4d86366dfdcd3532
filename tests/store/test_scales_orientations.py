"""Scales, directions and turned descriptors: checked, mapped to the file, stored as in hloc."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from silk_sfm.features import LocalFeatures
from silk_sfm.pixels import ORIENTATIONS, PixelGrid, upright_size
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance


def features(n: int = 6) -> LocalFeatures:
    rng = np.random.default_rng(0)
    return LocalFeatures(
        keypoints=rng.uniform(5, 40, (n, 2)).astype(np.float32),
        scores=rng.random(n).astype(np.float32),
        descriptors=rng.random((n, 4)).astype(np.float32),
        image_size=(50, 60),
        scales=rng.uniform(1, 9, n).astype(np.float32),
        orientations=rng.uniform(0, 360, n).astype(np.float32),
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_directions_follow_the_pixels_into_the_file(orientation: int) -> None:
    """The head of an arrow at the keypoint, mapped as a point, shows where the arrow points."""
    found = features()
    raw_size = upright_size((100, 120), orientation)  # twice the input, turned or mirrored
    grid = PixelGrid(raw_size, (50, 60), orientation)
    in_file = found.in_file(grid)
    assert found.orientations is not None and in_file.orientations is not None
    radians = np.deg2rad(found.orientations)
    heads = found.keypoints + np.stack([np.cos(radians), np.sin(radians)], axis=1)
    arrows = grid.to_raw(heads.astype(np.float64)) - in_file.keypoints
    turned = np.deg2rad(in_file.orientations)
    shown = 2 * np.stack([np.cos(turned), np.sin(turned)], axis=1)
    np.testing.assert_allclose(shown, arrows, atol=1e-4)
    np.testing.assert_allclose(in_file.scales, 2 * found.scales, rtol=1e-6)  # type: ignore[operator]
    assert in_file.orientations.dtype == in_file.scales.dtype == np.float32  # type: ignore[union-attr]


def test_selection_keeps_them_together() -> None:
    found, rows = features(), np.array([4, 0])
    chosen = found.select(rows)
    assert found.scales is not None and found.orientations is not None
    np.testing.assert_array_equal(chosen.scales, found.scales[rows])
    np.testing.assert_array_equal(chosen.orientations, found.orientations[rows])


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"scales": np.zeros(5, np.float32)},
            ValueError,
            r"scales has shape \(5,\), expected \(N\)",
        ),
        (
            {"orientations": np.zeros(6)},
            TypeError,
            "orientations has dtype float64, expected float32",
        ),
        ({"turned": np.zeros((2, 6, 4), np.float32)}, ValueError, r"turned has shape \(2, 6, 4\)"),
        ({"turned": np.zeros((3, 6, 4))}, TypeError, "turned has dtype float64, expected float32"),
    ],
)
def test_are_checked(changed: dict[str, np.ndarray], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(features(), **changed)


def test_stored_as_hloc_names_them(tmp_path: Path) -> None:
    path, found = tmp_path / "features.h5", features()
    turned = np.random.default_rng(1).random((3, 6, 4)).astype(np.float32)
    bare = replace(found, scales=None, orientations=None)
    with FeatureWriter(path, Provenance("sift", {}, {}), precision="float32") as writer:
        for name, value in (("a.jpg", replace(found, turned=turned)), ("b.jpg", bare)):
            writer.add(name, value)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["a.jpg/scales"], found.scales)
        np.testing.assert_array_equal(file["a.jpg/oris"], found.orientations)
        np.testing.assert_array_equal(file["a.jpg/descriptors_180"], turned[1].T)
        assert set(file["b.jpg"]) == {"keypoints", "descriptors", "scores", "image_size"}
    with FeatureStore(path) as store:
        a, b = store["a.jpg"], store["b.jpg"]
        assert store.has_turns
    np.testing.assert_array_equal(a.scales, found.scales)
    np.testing.assert_array_equal(a.orientations, found.orientations)
    np.testing.assert_array_equal(a.turned, turned)
    assert b.scales is None and b.orientations is None and b.turned is None
    assert a.method == "sift"
