"""Resizing before extraction: positions, uncertainties and precisions in the stores."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from small_photos import write_small_weights

from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.images import ImageFolder
from silk_sfm.stages.extract import ExtractionOptions, extract
from silk_sfm.store import FeatureStore, FeatureWriter, Precision, Provenance

WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    """A small photo, and the same with 2 x 2 and 3 x 3 pixels for each of its pixels."""
    root = tmp_path_factory.mktemp("photos")
    grey = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    for factor in (1, 2, 3):
        large = grey.repeat(factor, axis=0).repeat(factor, axis=1)
        Image.fromarray(large).save(root / f"{factor}.png")
    return ImageFolder.open(root)


@pytest.fixture(scope="module")
def silk(tmp_path_factory: pytest.TempPathFactory) -> Silk:
    weights = tmp_path_factory.mktemp("weights") / "micro.safetensors"
    write_small_weights(weights)
    return Silk(SilkOptions(weights=str(weights), top_k=80, nms_radius=2))


def run(
    photos: ImageFolder, silk: Silk, path: Path, max_size: int | None, precision: Precision
) -> None:
    made = Provenance("silk", {}, {})
    with FeatureWriter(path, made, precision=precision) as store:
        extract(photos, silk, store, ExtractionOptions(max_size=max_size, precision=precision))


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarged_photo_at_the_original_size(
    photos: ImageFolder, silk: Silk, tmp_path: Path, factor: int
) -> None:
    run(photos, silk, tmp_path / "f.h5", WIDTH, "float32")
    with FeatureStore(tmp_path / "f.h5") as store:
        small, large = store["1.png"], store[f"{factor}.png"]
    assert len(small) >= 80
    expected = (small.keypoints + 0.5) * factor - 0.5  # factor 2: 2 x + 0.5
    np.testing.assert_allclose(large.keypoints, expected, atol=2e-3)
    np.testing.assert_allclose(large.scores, small.scores, atol=1e-4)
    np.testing.assert_allclose(large.descriptors, small.descriptors, atol=1e-3)
    assert large.image_size == (factor * WIDTH, factor * HEIGHT)
    assert (small.uncertainty, large.uncertainty) == (1.0, factor)


def test_photos_within_the_size_are_not_changed(
    photos: ImageFolder, silk: Silk, tmp_path: Path
) -> None:
    run(photos, silk, tmp_path / "whole.h5", None, "float32")
    run(photos, silk, tmp_path / "large.h5", 3 * WIDTH, "float32")
    shards = [tmp_path / f"{name}.h5.shards" / "000001.h5" for name in ("whole", "large")]
    assert shards[0].read_bytes() == shards[1].read_bytes()
    with FeatureStore(tmp_path / "whole.h5") as store:
        assert [store.positions(name)[1] for name in store.names] == [1.0, 1.0, 1.0]
        assert store["3.png"].keypoints.max() > 2 * WIDTH


def test_uncertainty_is_the_mean_scale_of_both_sides(silk: Silk, tmp_path: Path) -> None:
    """100 x 31 px become 50 x 16: the sides shrink by 2 and by 31 / 16."""
    (tmp_path / "photos").mkdir()
    grey = np.random.default_rng(1).integers(0, 256, (31, 100), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "photos" / "a.png")
    run(ImageFolder.open(tmp_path / "photos"), silk, tmp_path / "f.h5", 50, "float16")
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.positions("a.png")[1] == pytest.approx((2 + 31 / 16) / 2, rel=1e-6)
        keypoints = store.keypoints("a.png")
    assert (keypoints >= 0).all()
    assert (keypoints <= [99, 30]).all()


def test_precision_is_that_of_descriptors_alone(
    photos: ImageFolder, silk: Silk, tmp_path: Path
) -> None:
    run(photos, silk, tmp_path / "half.h5", WIDTH, "float16")
    run(photos, silk, tmp_path / "full.h5", WIDTH, "float32")
    with h5py.File(tmp_path / "half.h5") as half, h5py.File(tmp_path / "full.h5") as full:
        for name in ("1.png", "2.png", "3.png"):
            assert half[name]["descriptors"].dtype == np.float16
            assert full[name]["descriptors"].dtype == np.float32
            rounded = full[name]["descriptors"][()].astype(np.float16)
            np.testing.assert_array_equal(half[name]["descriptors"][()], rounded)
            for part in ("keypoints", "scores"):
                assert half[name][part].dtype == np.float32
                np.testing.assert_array_equal(half[name][part][()], full[name][part][()])
            assert half[name]["keypoints"].attrs["uncertainty"] == int(name[0])
