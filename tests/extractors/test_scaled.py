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
    """Finds the centres of the first and the last pixel and of `n_more` others; sees 20 px."""

    about: ClassVar[About] = About(summary="corners", licence="none")
    channels: ClassVar[Literal["grey", "rgb"]] = "grey"
    descriptor_size = 2
    weights_digest = ""

    def __init__(self, n_more: int = 0, directions: bool = False) -> None:
        self.n_more, self.directions = n_more, directions

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        height, width = image.shape
        if min(height, width) < 20:
            raise ImageError("too small")
        ends = [(0, 0), (width - 1, height - 1)]
        xy = np.float32(ends + [(i, 0) for i in range(self.n_more)])
        scores = np.linspace(0.9, 0.1, len(xy), dtype=np.float32) - np.float32(1 / width)
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
    found = Scaled(Corners(), [0.5, 1.0])(np.zeros((60, 100), np.float32))
    np.testing.assert_allclose(found.keypoints, [(0, 0), (0.5, 0.5), (99, 59)], atol=1e-4)
    np.testing.assert_array_equal(found.scales, [1, 2, 1])
    np.testing.assert_array_equal(found.descriptors[:, 0], [100, 50, 100])
    assert (np.diff(found.scores) <= 0).all(), "best first"
    assert (found.image_size, found.uncertainty, found.method) == ((100, 60), 1.0, "corners")


def test_a_method_with_scales_and_directions_keeps_its_own() -> None:
    found = Scaled(Corners(directions=True), [1.0, 0.5])(np.zeros((60, 100), np.float32))
    assert found.scales is not None and found.orientations is not None
    np.testing.assert_allclose(sorted(found.scales), [3, 3, 6])
    np.testing.assert_allclose(found.orientations, 3, atol=1e-4)


def test_of_smaller_sizes_fewer_are_kept_the_best() -> None:
    found = Scaled(Corners(n_more=98), [1.0, 0.7, 0.25])(np.zeros((400, 400), np.float32))
    assert found.scales is not None
    sizes, counts = np.unique(np.rint(400 / found.scales).astype(int), return_counts=True)
    assert dict(zip(sizes.tolist(), counts.tolist(), strict=True)) == {400: 100, 280: 70, 100: 25}
    least = found.scores[found.scales > 3].min()
    assert least > 0.6, "the best quarter of 0.1 to 0.9"


def test_a_size_that_is_too_small_for_the_method_adds_nothing() -> None:
    found = Scaled(Corners(), [1.0, 0.5, 0.25])(np.zeros((60, 70), np.float32))
    assert len(found) == 3
    with pytest.raises(ImageError, match="too small"):
        Scaled(Corners(), [1.0, 0.5])(np.zeros((19, 70), np.float32))


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
    with pytest.raises(ConfigError, match="scales must differ"):
        ExtractionOptions(scales=(1.0, 0.5, 0.5))


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
    command = ["extract", str(photos), str(store), "--top-k", "100", "--nms-radius", "2"]
    assert main([*command, "--scales", "1", "0.5"]) == 0
    with FeatureStore(store) as features:
        found = features["000.png"]
        assert found.scales is not None and set(np.rint(found.scales)) == {1, 2}
        assert features.count("000.png") == 150
    assert main(command) == 1
    assert "scales" in capsys.readouterr().err
