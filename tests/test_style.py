"""The code keeps the targets of its own style."""

import re
from pathlib import Path

from package_tree import package_tree
from style_figures import style_figures

PACKAGE = Path(__file__).parents[1] / "silk_sfm"


def test_targets() -> None:
    figures = style_figures(PACKAGE)
    assert figures.n_functions > 300
    assert figures.share_typed == 1
    assert figures.share_long <= 0.02
    assert figures.longest_module[1] < 300, figures.longest_module


def test_the_map_of_the_package_is_up_to_date() -> None:
    contributing = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for line in package_tree(PACKAGE).splitlines():
        assert line in contributing, f"run python tests/package_tree.py silk_sfm: {line}"


def test_pipelines_and_examples_use_public_names_only() -> None:
    root = PACKAGE.parent
    for path in [*root.glob("pipelines/*.py"), *root.glob("examples/*.py")]:
        assert not re.search(r"silk_sfm\.[a-z_]+\.|from silk_sfm\.", path.read_text()), path
