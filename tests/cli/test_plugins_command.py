"""What `silk-sfm plugins` tells of weights and descriptors."""

import pytest

from silk_sfm.cli import main


def test_weights_and_descriptors_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    lines = {block.split(":")[0].strip(): block for block in shown.split("\n  ") if block}
    text = " ".join(shown.split())
    assert "weights: keynet, orinet, hardnet descriptor: 128 numbers" in text
    assert (
        "weights: dedode-L-v2, dedode-B descriptor: 256 numbers; also of keypoints of others"
        in text
    )
    assert (
        "weights: silk descriptor: size depends on the weights; also of keypoints of others" in text
    )
    assert {"sift", "lightglue", "magsac"} <= set(lines)
    assert "NON-COMMERCIAL" in text, "before anything is downloaded"
