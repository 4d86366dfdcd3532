"""EXIF orientation: a turned file gives the keypoints of its upright twin, in its own raw grid."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_photos import write_small_weights

from silk_sfm.colmap.assignment import assign_cameras
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder
from silk_sfm.stages.extract import ExtractionOptions, extract
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance

ORIENTATION = 0x0112
WIDTH, HEIGHT = 53, 37  # of the upright photo: multiples of nothing

STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright),  # shown after a quarter turn clockwise
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""What a camera stores for an upright photo, by EXIF 2.3."""

RAW = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (WIDTH - 1 - x, y),
    3: lambda x, y: (WIDTH - 1 - x, HEIGHT - 1 - y),
    4: lambda x, y: (x, HEIGHT - 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (y, WIDTH - 1 - x),
    7: lambda x, y: (HEIGHT - 1 - y, WIDTH - 1 - x),
    8: lambda x, y: (HEIGHT - 1 - y, x),
}
"""Where the upright pixel (x, y) lies in the stored file."""


def upright_photo() -> np.ndarray:
    """Grey, so that no rounding depends on the order in which pixels are read."""
    grey = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


def turned(orientation: int) -> np.ndarray:
    return np.ascontiguousarray(STORED[orientation](upright_photo()))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    """1.png ... 8.png: one photo, stored in all orientations."""
    root = tmp_path_factory.mktemp("turned")
    for orientation in STORED:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(turned(orientation)).save(root / f"{orientation}.png", exif=exif)
    return ImageFolder.open(root)


@pytest.fixture(scope="module")
def silk(tmp_path_factory: pytest.TempPathFactory) -> Silk:
    weights = tmp_path_factory.mktemp("weights") / "micro.safetensors"
    write_small_weights(weights)
    return Silk(SilkOptions(weights=str(weights), top_k=60, nms_radius=2))


def extracted(
    photos: ImageFolder, silk: Silk, store: Path, options: ExtractionOptions
) -> dict[int, LocalFeatures]:
    """The features of each orientation, through the stage and its store."""
    with FeatureWriter(store, Provenance("silk", {}, {}), precision="float32") as writer:
        report = extract(photos, silk, writer, options)
    assert (report.done, report.skipped) == (8, ())
    with FeatureStore(store) as features:
        return {orientation: features[f"{orientation}.png"] for orientation in STORED}


@pytest.mark.parametrize("orientation", STORED)
def test_stored_pixels_are_where_the_map_says(orientation: int) -> None:
    """The two tables of this file agree with each other, and Pillow with both."""
    stored, upright = turned(orientation), upright_photo()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    column, row = RAW[orientation](x, y)
    np.testing.assert_array_equal(stored[row, column], upright)


@pytest.mark.parametrize("max_size", [None, 53, 40])
def test_keypoints_of_all_orientations(
    photos: ImageFolder, silk: Silk, tmp_path: Path, max_size: int | None
) -> None:
    found = extracted(photos, silk, tmp_path / "f.h5", ExtractionOptions(max_size=max_size))
    upright = found[1]
    assert len(upright) >= 60
    for orientation, features in found.items():
        raw_size = (WIDTH, HEIGHT) if orientation <= 4 else (HEIGHT, WIDTH)
        assert features.image_size == raw_size
        expected = np.stack(RAW[orientation](*upright.keypoints.T), axis=1)
        np.testing.assert_allclose(features.keypoints, expected, atol=1e-4)
        np.testing.assert_allclose(features.scores, upright.scores, atol=1e-6)
        np.testing.assert_allclose(features.descriptors, upright.descriptors, atol=1e-5)
        assert (features.keypoints >= 0).all()
        assert (features.keypoints <= np.subtract(raw_size, 1)).all()
        assert features.uncertainty == upright.uncertainty


def test_keypoints_show_the_same_spot(photos: ImageFolder, silk: Silk, tmp_path: Path) -> None:
    """Without resizing and refinement, the raw pixel under a keypoint is the upright one's."""
    plain = Silk(SilkOptions(weights=silk.options.weights, top_k=60, refine=False))
    found = extracted(photos, plain, tmp_path / "f.h5", ExtractionOptions(max_size=None))
    values = {}
    for orientation, features in found.items():
        column, row = features.keypoints.astype(int).T
        values[orientation] = turned(orientation)[row, column, 0]
    assert len(np.unique(values[1])) > 20
    for orientation in STORED:
        np.testing.assert_array_equal(values[orientation], values[1])


@pytest.mark.parametrize("mode", ["auto", "per-image"])
def test_colmap_camera_has_the_raw_size(photos: ImageFolder, mode: str) -> None:
    options = CameraOptions(camera_mode=mode, focal_factor=1.0)  # type: ignore[arg-type]
    cameras = assign_cameras(photos.root, photos.names, options)
    for orientation in STORED:
        camera = cameras[f"{orientation}.png"]
        width, height = (WIDTH, HEIGHT) if orientation <= 4 else (HEIGHT, WIDTH)
        assert camera.size == (width, height)
        assert camera.params == (53.0, width / 2, height / 2, 0.0)


def test_features_and_camera_agree_on_the_size(
    photos: ImageFolder, silk: Silk, tmp_path: Path
) -> None:
    found = extracted(photos, silk, tmp_path / "f.h5", ExtractionOptions())
    cameras = assign_cameras(photos.root, photos.names, CameraOptions())
    for orientation, features in found.items():
        assert features.image_size == cameras[f"{orientation}.png"].size
