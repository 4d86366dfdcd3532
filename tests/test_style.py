"""The code keeps the targets of its own style."""

from pathlib import Path

from style_figures import style_figures

PACKAGE = Path(__file__).parents[1] / "silk_sfm"


def test_targets() -> None:
    figures = style_figures(PACKAGE)
    assert figures.n_functions > 300
    assert figures.share_typed == 1
    assert figures.share_long <= 0.02
    assert figures.longest_module[1] < 300, figures.longest_module
