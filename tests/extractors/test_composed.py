"""Keypoints of one method with the descriptors of another, and their options."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_photos import write_small_photos

from silk_sfm.cli import main
from silk_sfm.cli.arguments import recipe_for
from silk_sfm.errors import ConfigError, PluginError
from silk_sfm.extractors.composed import compose, describers
from silk_sfm.extractors.sift import Sift, SiftOptions
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.images import GREY_WEIGHTS
from silk_sfm.plugins import Describer, Extractor
from silk_sfm.stages.choice import choose
from silk_sfm.stages.recipe import Recipe


def noise(height: int = 90, width: int = 120) -> np.ndarray:
    rough = np.random.default_rng(0).random((height // 6, width // 6)).astype(np.float32)
    return np.kron(rough, np.ones((6, 6), np.float32))


@pytest.fixture(scope="module")
def silk() -> Silk:
    return Silk(SilkOptions(top_k=40))


def test_places_of_one_and_descriptors_of_the_other(silk: Silk) -> None:
    chosen = choose("extractors", "sift+silk")
    both = chosen.make("extractors", "cpu")
    assert isinstance(both, Extractor) and isinstance(both, Describer)
    found = both(noise())
    sift = Sift(SiftOptions())(noise())
    np.testing.assert_array_equal(found.keypoints, sift.keypoints)
    np.testing.assert_array_equal(found.scores, sift.scores)
    np.testing.assert_array_equal(found.scales, sift.scales)
    np.testing.assert_array_equal(found.orientations, sift.orientations)
    np.testing.assert_allclose(found.descriptors, silk.describe(noise(), sift.keypoints), atol=1e-6)
    assert both.descriptor_size == 128
    assert both.weights_digest == f"+{silk.weights_digest}"


def test_an_image_without_keypoints() -> None:
    both = choose("extractors", "sift+silk").make("extractors", "cpu")
    found = both(np.full((40, 50), 0.3, np.float32))
    assert len(found) == 0 and found.descriptors.shape == (0, 128)
    assert found.image_size == (50, 40)


class SeesColour:
    """Describes a place by its colour."""

    about, Options = Sift.about, SiftOptions
    channels, descriptor_size, weights_digest = "rgb", 3, ""

    def __init__(self, options: SiftOptions, device: str = "cpu") -> None: ...

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        raise AssertionError("its own keypoints are not asked for")

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        columns, rows = np.rint(keypoints).astype(int).T
        return np.asarray(image[rows, columns])


def test_grey_and_colour_methods_go_together() -> None:
    both = compose(f"sift+{__name__}:SeesColour")
    assert both.channels == "rgb"
    made = both(both.Options(), "cpu")  # type: ignore[attr-defined]
    colour = np.stack([noise(), np.flip(noise(), 0), np.flip(noise(), 1)], axis=2)
    found = made(colour)
    grey = Sift(SiftOptions())(np.asarray(colour @ GREY_WEIGHTS, np.float32))
    np.testing.assert_array_equal(found.keypoints, grey.keypoints)
    assert found.descriptors.shape == (len(grey), 3) and len(grey) > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("silk+orb", "Extractor `orb` cannot describe keypoints of another method; these can: "),
        ("silk+", "`silk+` is no extractor: write DETECTOR+DESCRIPTOR."),
        ("a+b+c", "`a+b+c` is no extractor: write DETECTOR+DESCRIPTOR."),
        ("sifd+silk", "No extractor `sifd`; installed: "),
    ],
)
def test_what_cannot_be_composed(name: str, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        choose("extractors", name)
    assert str(caught.value).startswith(message)


def test_describers_are_those_with_the_capability() -> None:
    assert "silk" in describers()
    assert not {"orb", "sift", "colmap-sift"} & set(describers())


# ---------- options, recipes, the command line ----------


def test_recipe_with_options_of_both(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(
        '[extractor]\nname = "sift+silk"\ndetector.top_k = 70\ndescriptor.padding = 1\n'
    )
    options = Recipe.read(str(path)).extractor.options
    assert options.detector == SiftOptions(top_k=70)
    assert options.descriptor == SilkOptions(padding=1)


def test_unknown_option_of_a_part(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text('[extractor]\nname = "sift+silk"\ndetector.topk = 70\n')
    with pytest.raises(ConfigError) as caught:
        Recipe.read(str(path))
    assert str(caught.value) == (
        f"Recipe {path}: [extractor]: detector: unknown key `topk`. Did you mean `top_k`?"
    )


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, store = tmp_path / "photos", tmp_path / "features.h5"
    write_small_photos(photos, 2)
    parts = ["--detector", "sift", "--descriptor=silk"]
    command = ["extract", str(photos), str(store), *parts, "--detector.top-k"]
    assert main([*command, "30"]) == 0
    with h5py.File(store) as file:
        assert file["000.png/keypoints"].shape == (30, 2)
        assert file.attrs["plugin"] == "sift+silk"
        options = json.loads(file.attrs["options"])
        assert options["detector.top_k"] == 30 and options["descriptor.padding"] == 0
        assert "descriptor.tile_pixels" not in options, "it decides no result"
    assert main(["extract", str(photos), str(store), "--extractor", "sift+silk"]) == 1
    assert "(detector.top_k: made with 30, now 8000)" in capsys.readouterr().err


def test_one_part_alone_joins_the_recipes_extractor(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["extract", "--detector", "sift", "--help"])
    shown = capsys.readouterr().out
    assert "(default: sift+silk)" in shown and "--descriptor.nms-radius" in shown
    with pytest.raises(SystemExit):
        main(["reconstruct", "--detector", "sift", "--help"])
    assert "--extractor.detector.top-k" in capsys.readouterr().out


def test_one_part_alone_replaces_that_of_a_recipe_with_two() -> None:
    daisy = Recipe.read("daisy").extractor
    described = recipe_for(["--config", "daisy", "--descriptor", "silk"]).extractor
    assert described.name == "sift+silk"
    assert described.options.detector == daisy.options.detector == SiftOptions(upright=True)
    detected = recipe_for(["--config", "daisy", "--detector", "orb"]).extractor
    assert detected.name == "orb+daisy"
    assert detected.options.descriptor == daisy.options.descriptor


def test_two_ways_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "a", "b", "--extractor", "silk", "--detector", "sift"]) == 1
    assert capsys.readouterr().err == (
        "silk-sfm extract: error: Give --extractor, or --detector and --descriptor, not both.\n"
    )


def test_other_commands_do_not_take_parts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["pairs", "a", "b", "--detector", "sift"])
    assert stopped.value.code == 2


# ---------- SiLK at any place ----------


def test_silk_describes_its_own_keypoints_alike(silk: Silk) -> None:
    whole = Silk(SilkOptions(top_k=40, refine=False))
    found = whole(noise())
    np.testing.assert_allclose(
        whole.describe(noise(), found.keypoints), found.descriptors, atol=1e-5
    )


def test_silk_between_cells_is_bilinear(silk: Silk) -> None:
    corners = np.array([(40, 30), (41, 30), (40, 31), (41, 31)], np.float32)
    a, b, c, d = silk.describe(noise(), corners)
    between = silk.describe(noise(), np.array([(40.25, 30.5)], np.float32))[0]
    expected = 0.5 * (0.75 * a + 0.25 * b) + 0.5 * (0.75 * c + 0.25 * d)
    np.testing.assert_allclose(between, expected / np.linalg.norm(expected), atol=1e-5)


def test_silk_beyond_the_map_takes_the_nearest_cell(silk: Silk) -> None:
    places = np.array([(-3, 40), (9, 40), (500, 500), (120 - 10, 90 - 10)], np.float32)
    outside, edge, far, corner = silk.describe(noise(), places)
    np.testing.assert_allclose(outside, edge, atol=1e-6)
    np.testing.assert_allclose(far, corner, atol=1e-6)


def test_silk_tiles_do_not_change_descriptions(silk: Silk) -> None:
    places = np.random.default_rng(1).uniform(0, 89, (50, 2)).astype(np.float32)
    tiled = Silk(SilkOptions(tile_pixels=64 * 64))
    np.testing.assert_allclose(
        tiled.describe(noise(), places), silk.describe(noise(), places), atol=1e-5
    )
