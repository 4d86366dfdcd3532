"""What `silk-sfm plugins` tells of weights and descriptors."""

import dataclasses

import pytest

from silk_sfm import plugins
from silk_sfm.cli import main
from silk_sfm.configs import recipe_names


def test_weights_and_descriptors_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    lines = {block.split(":")[0].strip(): block for block in shown.split("\n  ") if block}
    text = " ".join(shown.split())
    assert "weights: keynet, orinet, hardnet: MIT descriptor: 128 numbers" in text
    assert "dedode-B-SO2: MIT descriptor: 256 numbers; also at keypoints of others" in text
    assert (
        "weights: silk, silk-micro: Apache-2.0, in the package; pvgg-4, pvgg-1, pvgg-micro, "
        in text
    )
    assert "descriptor: 128 numbers, 32 of pvgg-micro; also at keypoints of others" in text
    assert "weights: aliked-t16, aliked-n16, aliked-n16rot, aliked-n32: BSD-3-Clause desc" in text
    assert {"sift", "lightglue", "magsac"} <= set(lines)
    assert "superpoint-v1: Magic Leap, NON-COMMERCIAL" in text, "before anything is downloaded"
    matchers = text.split(" matchers: ")[1]
    assert "descriptor: " not in matchers
    assert matchers.count("weights: none") == 5, "four matchers and the verifier"


def test_each_line_of_a_plugin_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plugins"])
    shown = capsys.readouterr().out
    extractors = shown.split("matchers:")[0]
    for name in plugins.names("extractors"):
        block = extractors.split(f"\n  {name}: ")[1].split("\n  ")[0:5]
        starts = [line.strip().split(":")[0] for line in block[1:]]
        assert starts == ["licence", "paper", "weights", "descriptor"], name


def test_weights_in_options_are_announced() -> None:
    """A plug-in with weights among its options says in `about` which there are."""
    for name in plugins.names("extractors"):
        plugin = plugins.load("extractors", name)
        takes = any("weights" in field.name for field in dataclasses.fields(plugin.Options))
        assert takes == (plugin.about.weights != "none"), name


def test_recipes_are_listed_last(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plugins"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"recipes (--config NAME): {', '.join(recipe_names())}"
    )
