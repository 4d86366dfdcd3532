"""Every example runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from silk_sfm.synthetic import demo_scene, demo_views, write_photos

EXAMPLES = Path(__file__).parents[1] / "examples"
MOST_LINES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two photos."""
    root = tmp_path_factory.mktemp("examples")
    write_photos(root / "photos", demo_views(16, (400, 300))[:2], demo_scene())
    return root


def run(folder: Path, *arguments: str) -> str:
    """Run python with arguments in the folder; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    command = [sys.executable, *arguments]
    return subprocess.check_output(command, cwd=folder, env=environment, text=True)


def test_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < MOST_LINES, path


@pytest.mark.slow
def test_match_two_photos(folder: Path) -> None:
    script = str(EXAMPLES / "match_two_photos.py")
    printed = run(folder, script, "photos/view_00.jpg", "photos/view_01.jpg", "matches.png")
    assert printed.startswith("2000 and 2000 keypoints")
    assert (folder / "matches.png").stat().st_size > 10_000


@pytest.mark.slow
def test_plugin_and_stores(folder: Path) -> None:
    silk_sfm = ("-m", "silk_sfm")
    extract = ("extract", "photos", "f.h5", "--extractor", "opencv_sift:Sift")
    assert "extract: 2 images" in run(folder, *silk_sfm, *extract, "--max-keypoints", "500")
    assert "1 pairs of 2 images" in run(folder, *silk_sfm, "pairs", "f.h5", "pairs.txt")
    run(folder, *silk_sfm, "match", "f.h5", "pairs.txt", "m.h5", "--matcher", "mutual")
    printed = run(folder, str(EXAMPLES / "read_stores.py"), "f.h5", "m.h5")
    assert "view_00.jpg (400 x 300 px) and view_01.jpg:" in printed
