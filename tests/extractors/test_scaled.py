"""Features of an image at several sizes, to the end of matching."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
import pytest
from small_photos import write_small_photos

from silk_sfm.cli import main
from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.extractors.scaled import Scaled
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.extractors.turned import Turned
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.mutual import Mutual, MutualOptions
from silk_sfm.options import structure
from silk_sfm.plugins import About
from silk_sfm.stages.extract import ExtractionOptions
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.recipe_file import write_recipe
from silk_sfm.store import FeatureStore


class Corners:
    """Finds the centres of the first and the last pixel and of `n_more` others.

    Finds nothing in images of a width in `blind`.
    """

    about: ClassVar[About] = About(summary="corners", licence="none")
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size = 2
    weights_digest = ""

    def __init__(
        self, n_more: int = 0, directions: bool = False, blind: tuple[int, ...] = ()
    ) -> None:
        self.n_more, self.directions, self.blind = n_more, directions, blind

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        height, width = image.shape
        ends = [(0, 0), (width - 1, height - 1)]
        xy = np.float32(ends + [(i, 0) for i in range(self.n_more)])
        scores = np.linspace(0.9, 0.1, len(xy), dtype=np.float32) - np.float32(1 / width)
        if width in self.blind:
            return LocalFeatures.empty(2, (width, height))
        given = np.full(len(xy), 3, np.float32) if self.directions else None
        return LocalFeatures(
            keypoints=xy,
            scores=scores,
            descriptors=np.full((len(xy), 2), width, np.float32),
            image_size=(width, height),
            scales=given,
            orientations=given,
            method="corners",
        )


def texture(height: int = 160, width: int = 200) -> np.ndarray:
    rough = np.random.default_rng(0).random((height // 4, width // 4)).astype(np.float32)
    return np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1))


def test_the_image_as_it_is_gives_what_the_extractor_gives() -> None:
    silk, image = Silk(SilkOptions(top_k=50)), texture()
    plain, scaled = silk(image), Scaled(silk, [1.0])(image)
    for name in ("keypoints", "scores", "descriptors"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(scaled, name))
    assert scaled.scales is not None and (scaled.scales == 1).all()


def test_pixels_of_a_smaller_size_lie_on_the_middle_of_those_they_cover() -> None:
    found = Scaled(Corners(), [1.0, 0.5])(np.zeros((140, 200), np.float32))
    np.testing.assert_allclose(found.keypoints, [(0, 0), (0.5, 0.5), (199, 139)], atol=1e-4)
    np.testing.assert_array_equal(found.scales, [1, 2, 1])
    np.testing.assert_array_equal(found.descriptors[:, 0], [200, 100, 200])
    assert (np.diff(found.scores) <= 0).all(), "best first"
    assert (found.image_size, found.uncertainty, found.method) == ((200, 140), 1.0, "corners")


def test_a_method_with_scales_and_directions_keeps_its_own() -> None:
    found = Scaled(Corners(directions=True), [1.0, 0.5])(np.zeros((140, 200), np.float32))
    assert found.scales is not None and found.orientations is not None
    np.testing.assert_allclose(sorted(found.scales), [3, 3, 6])
    np.testing.assert_allclose(found.orientations, 3, atol=1e-4)


def test_of_smaller_sizes_fewer_are_kept_the_best() -> None:
    found = Scaled(Corners(n_more=98), [1.0, 0.55, 0.25])(np.zeros((400, 400), np.float32))
    assert found.scales is not None
    sizes, counts = np.unique(np.rint(400 / found.scales).astype(int), return_counts=True)
    assert dict(zip(sizes.tolist(), counts.tolist(), strict=True)) == {400: 100, 220: 55, 100: 25}
    least = found.scores[found.scales > 3].min()
    assert least > 0.6, "the best quarter of 0.1 to 0.9"


@pytest.mark.parametrize(("height", "n_levels"), [(20, 1), (127, 1), (128, 2), (256, 3)])
def test_very_small_sizes_are_left_out(height: int, n_levels: int) -> None:
    found = Scaled(Corners(n_more=8), [1.0, 0.5, 0.25])(np.zeros((height, 300), np.float32))
    assert found.scales is not None and len(np.unique(found.scales)) == n_levels


def test_an_image_that_the_method_cannot_use_is_an_error() -> None:
    with pytest.raises(ImageError, match="12 x 12 px is smaller"):
        Scaled(Silk(SilkOptions()), [1.0, 0.5])(np.zeros((12, 12), np.float32))


@pytest.mark.parametrize(
    ("blind", "expected"), [((200,), [2]), ((100,), [1, 1]), ((100, 200), []), ((), [1, 2, 1])]
)
def test_a_size_without_keypoints(blind: tuple[int, ...], expected: list[int]) -> None:
    found = Scaled(Corners(blind=blind), [1.0, 0.5])(np.zeros((140, 200), np.float32))
    assert found.scales is not None and found.scales.tolist() == expected
    if expected:
        assert (found.method, found.uncertainty) == ("corners", min(expected))


def test_matches_a_copy_of_half_the_size() -> None:
    image = texture(320, 400)
    half = cv2.resize(image, (200, 160), interpolation=cv2.INTER_AREA)
    silk, mutual = Silk(SilkOptions(top_k=300, nms_radius=3)), Mutual(MutualOptions(ratio=0.9))

    def n_right(a: LocalFeatures, b: LocalFeatures, matches: Matches) -> int:
        expected = (a.keypoints[matches.indices[:, 0]] + 0.5) / 2 - 0.5
        offsets = np.abs(b.keypoints[matches.indices[:, 1]] - expected).max(axis=1)
        return int((offsets < 1.5).sum())

    scaled, plain, copy = Scaled(silk, [1.0, 0.5])(image), silk(image), silk(half)
    assert n_right(scaled, copy, mutual(scaled, copy)) > 60
    assert n_right(plain, copy, mutual(plain, copy)) < 20


def test_each_size_is_also_turned() -> None:
    silk = Silk(SilkOptions(top_k=40))
    found = Scaled(Turned(silk), [1.0, 0.5])(texture())
    assert found.turned is not None and found.turned.shape == (3, *found.descriptors.shape)
    assert (np.linalg.norm(found.turned, axis=2) > 0.9).all()


def test_options_are_checked() -> None:
    for wrong in ((), (0.0,), (1.0, 1.5), (float("nan"),)):
        with pytest.raises(ConfigError, match=r"scales must lie in \(0, 1\]"):
            ExtractionOptions(scales=wrong)
    for wrong in ((1.0, 0.5, 0.5), (0.5, 1.0)):
        with pytest.raises(ConfigError, match="scales must become smaller"):
            ExtractionOptions(scales=wrong)


def test_recipes_say_them_as_lists(tmp_path: Path) -> None:
    recipe = replace(Recipe.read(), extraction=ExtractionOptions(scales=(1.0, 0.5)))
    path = tmp_path / "recipe.toml"
    write_recipe(recipe, path, "two scales")
    assert "scales = [1.0, 0.5]" in path.read_text()
    assert Recipe.read(str(path)) == recipe
    assert structure(ExtractionOptions, {"scales": [1, 0.5]}, "here").scales == (1.0, 0.5)


def test_from_photos_to_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, store = tmp_path / "photos", tmp_path / "features.h5"
    write_small_photos(photos, 1)
    command = ["extract", str(photos), str(store), "--config", "silk_wide", "--top-k", "100"]
    assert main([*command, "--scales", "1"]) == 0
    with FeatureStore(store) as features:
        assert features.count("000.png") == 100 and features["000.png"].scales is None
    assert main(command) == 1
    assert "scales: made with [1.0], now [1.0, 0.7, 0.5]" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    with FeatureStore(store) as features:
        scales = features["000.png"].scales
        assert scales is not None and np.count_nonzero(scales == 1) == 100
        assert np.count_nonzero((scales > 1.4) & (scales < 1.45)) == 70
