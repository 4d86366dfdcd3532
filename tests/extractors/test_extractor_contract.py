"""What every extractor promises, whichever it is. A new one needs a line in `extractor_cases`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from extractor_cases import CASES, Case, make, textured

from silk_sfm import plugins
from silk_sfm.errors import ImageError
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder, grey
from silk_sfm.plugins import Describer, Extractor
from silk_sfm.stages.extract import ExtractionOptions, extract
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance

NAMES = sorted(CASES)
DESCRIBERS = [name for name in NAMES if hasattr(plugins.load("extractors", name), "describe")]
HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Any]:
    """Extractors made so far, by name."""
    return {}


@pytest.fixture
def extractor(request: pytest.FixtureRequest, made: dict[str, Any], folder: Path) -> Any:
    name = request.param
    if name not in made:
        made[name] = make(name, folder, {})
    return made[name]


SLOW = {"dedode"}
"""Of 27 million parameters, in two networks."""


def each_of(names: list[str]) -> pytest.MarkDecorator:
    """Run a test with the extractor of each name."""
    marks = {name: [pytest.mark.slow] if name in SLOW else [] for name in names}
    values = [pytest.param(name, marks=marks[name]) for name in names]
    return pytest.mark.parametrize("extractor", values, indirect=True)


every = each_of(NAMES)
describing = each_of(DESCRIBERS)


def seen_by(extractor: Any, rgb: np.ndarray) -> np.ndarray:
    """The image as the extractor wants it."""
    return rgb if extractor.channels == "rgb" else grey(rgb)


def case_of(extractor: Any) -> Case:
    names = [name for name in NAMES if plugins.load("extractors", name) is type(extractor)]
    return CASES[names[0]]


def check_features(features: LocalFeatures, extractor: Any, height: int, width: int) -> None:
    assert features.image_size == (width, height)
    assert features.descriptors.shape == (len(features), extractor.descriptor_size)
    for values in (features.keypoints, features.scores, features.descriptors):
        assert np.isfinite(values).all()
    assert (features.keypoints >= -0.5).all()
    assert (features.keypoints <= [width - 0.5, height - 0.5]).all()
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    assert (np.diff(features.scores) <= 0).all()


def test_every_installed_extractor_is_checked() -> None:
    assert set(plugins.names("extractors")) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_flags_beside_those_of_the_stage(name: str) -> None:
    options = plugins.load("extractors", name).Options
    own = {field.name for field in dataclasses.fields(options)}
    others = {field.name for field in dataclasses.fields(ExtractionOptions)}
    assert not own & (others | {"device", "config", "overwrite", "quiet", "verbose"})


@every
def test_keeps_the_protocol(extractor: Any) -> None:
    assert isinstance(extractor, Extractor)
    assert extractor.about.summary and extractor.about.licence and extractor.about.paper
    assert extractor.channels in ("grey", "rgb")
    has_weights = any("weights" in field.name for field in dataclasses.fields(extractor.Options))
    assert bool(extractor.weights_digest) == has_weights


@every
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (133, 107)])
def test_finds_features_at_any_size(extractor: Any, size: tuple[int, int]) -> None:
    features = extractor(seen_by(extractor, textured(*size)))
    assert len(features) > 10
    check_features(features, extractor, *size)


@every
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_one_colour_has_nothing(extractor: Any, value: float) -> None:
    blank = np.full((HEIGHT, WIDTH, 3), value, np.float32)
    features = extractor(seen_by(extractor, blank))
    check_features(features, extractor, HEIGHT, WIDTH)
    assert len(features) == 0 or not case_of(extractor).knows_blank


@every
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (7, 40), (33, 9)])
def test_tiny_images_work_or_are_refused_by_size(extractor: Any, size: tuple[int, int]) -> None:
    image = seen_by(extractor, textured(64, 64)[: size[0], : size[1]].copy())
    try:
        features = extractor(image)
    except ImageError as error:
        assert f"{size[1]} x {size[0]} px" in str(error)
    else:
        check_features(features, extractor, *size)


@every
def test_no_pixels_are_refused(extractor: Any) -> None:
    with pytest.raises(ImageError):
        extractor(seen_by(extractor, np.zeros((0, 0, 3), np.float32)))


@every
@pytest.mark.parametrize("value", [255.0, np.nan])
def test_values_out_of_range_are_refused(extractor: Any, value: float) -> None:
    image = seen_by(extractor, textured(64, 64))
    image[3, 4] = value
    with pytest.raises(ImageError, match=r"needs values in 0\.\.1, got "):
        extractor(image)


@every
def test_same_image_same_features(extractor: Any) -> None:
    image = seen_by(extractor, textured(HEIGHT, WIDTH))
    before = image.copy()
    image.setflags(write=False)
    first, second = extractor(image), extractor(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(first.keypoints, second.keypoints)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)


# ---------- where keypoints lie ----------


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 2) from each of (N, 2) points to the nearest of (M, 2) others."""
    differences = others[None] - points[:, None]
    closest = np.argmin((differences**2).sum(axis=2), axis=1)
    return np.asarray(differences[np.arange(len(points)), closest])


SHIFT = np.array([16, 32], np.float32)
MARGIN = 60
"""More than any of the networks sees in one direction."""


@each_of([name for name in NAMES if CASES[name].follows_shifts])
def test_a_shifted_image_gives_shifted_keypoints(extractor: Any) -> None:
    image = textured(256, 272)
    x, y = SHIFT.astype(int)
    whole = extractor(seen_by(extractor, image)).keypoints
    part = extractor(seen_by(extractor, image[y:, x:].copy())).keypoints
    height, width = image.shape[0] - y, image.shape[1] - x
    inner = part[((part > MARGIN) & (part < [width - MARGIN, height - MARGIN])).all(axis=1)]
    assert len(inner) > 5
    found = np.abs(nearest(inner + SHIFT, whole)).max(axis=1) < 0.05
    assert found.mean() > 0.9


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].scaled is not None])
def test_a_scaled_image_gives_scaled_keypoints(name: str, folder: Path) -> None:
    """Pixels count from the centre of the first one: a mistake of half a pixel shows as 0.25."""
    extractor = make(name, folder, CASES[name].scaled or {})
    image = cv2.GaussianBlur(textured(120, 150), (0, 0), 1.0)
    double = cv2.resize(image, (300, 240), interpolation=cv2.INTER_CUBIC)
    small = extractor(seen_by(extractor, image)).keypoints
    large = extractor(seen_by(extractor, double.clip(0, 1))).keypoints
    offsets = nearest(small, (large + 0.5) / 2 - 0.5)
    close = offsets[np.abs(offsets).max(axis=1) < 1.5]
    assert len(close) > 20
    assert np.abs(close.mean(axis=0)).max() < 0.12


# ---------- describing places of others ----------


@describing
def test_describes_any_place(extractor: Any) -> None:
    assert isinstance(extractor, Describer)
    image = seen_by(extractor, textured(HEIGHT, WIDTH))
    corners = [(-0.5, -0.5), (WIDTH - 0.5, HEIGHT - 0.5), (0, HEIGHT - 1), (-40.0, 1e6)]
    places = np.array([*corners, (63.37, 41.9), (10, 20)], np.float32)
    descriptors = extractor.describe(image, places)
    assert descriptors.shape == (6, extractor.descriptor_size)
    assert descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
    none = extractor.describe(image, np.zeros((0, 2), np.float32))
    assert none.shape == (0, extractor.descriptor_size)


@describing
def test_places_must_be_finite_float32_pairs(extractor: Any) -> None:
    image = seen_by(extractor, textured(HEIGHT, WIDTH))
    with pytest.raises(ImageError, match=r"^Keypoints to describe hold NaN or infinity"):
        extractor.describe(image, np.array([(3, np.nan)], np.float32))
    with pytest.raises(TypeError, match="float32"):
        extractor.describe(image, np.array([(3.0, 4.0)]))
    with pytest.raises(ValueError, match="N, 2"):
        extractor.describe(image, np.zeros((1, 3), np.float32))


@describing
def test_descriptions_follow_the_image(extractor: Any) -> None:
    """The same thing is described alike where it has moved to, and unlike other things."""
    image = textured(224, 208)
    places = np.random.default_rng(0).uniform(105, 135, (8, 2)).astype(np.float32)
    whole = extractor.describe(seen_by(extractor, image), places)
    moved = image[32:, 16:].copy()
    part = extractor.describe(seen_by(extractor, moved), places - SHIFT)
    distances = np.linalg.norm(whole[:, None] - part, axis=2)
    assert distances.diagonal().max() < 0.05
    assert (distances.argmin(axis=1) == np.arange(8)).all()


# ---------- masks ----------


@every
def test_masks_drop_keypoints_and_change_no_other(extractor: Any, tmp_path: Path) -> None:
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    pixels = np.uint8(textured(HEIGHT, WIDTH) * 255)
    cv2.imwrite(str(photos / "a.png"), pixels)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    cv2.imwrite(str(masks / "a.png.png"), mask)
    every_one = stored(extractor, photos, tmp_path / "all.h5", ExtractionOptions())
    kept = stored(extractor, photos, tmp_path / "kept.h5", ExtractionOptions(masks=masks))
    inside = np.rint(every_one.keypoints[:, 0]) < WIDTH // 2
    assert 0 < inside.sum() < len(inside)
    np.testing.assert_array_equal(kept.keypoints, every_one.keypoints[inside])
    np.testing.assert_array_equal(kept.descriptors, every_one.descriptors[inside])


def stored(extractor: Any, photos: Path, path: Path, options: ExtractionOptions) -> LocalFeatures:
    with FeatureWriter(path, Provenance("test", {}, {}), False, "float32") as writer:
        extract(ImageFolder.open(photos), extractor, writer, options)
    with FeatureStore(path) as store:
        return store["a.png"]
