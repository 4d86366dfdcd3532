"""Every command and every Python block of the README runs, in its order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from silk_sfm.cli.main import COMMANDS
from silk_sfm.synthetic import demo_scene, demo_views, write_photos

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some photos."""
    root = tmp_path_factory.mktemp("readme")
    write_photos(root / "photos", demo_views(6, (400, 300)), demo_scene())
    return root


@pytest.mark.slow
def test_blocks_run(folder: Path) -> None:
    for language, block in BLOCK.findall(README):
        if language == "bash":
            for command in block.splitlines():
                run_command(command.split("#")[0].strip(), folder)
        elif language == "python":
            run_python(block, folder)
    assert (folder / "out" / "sparse" / "0" / "images.bin").exists()
    assert (folder / "model" / "points.ply").exists()


def run_command(command: str, folder: Path) -> None:
    """Run a silk-sfm command; of the others only check what they name."""
    if command.startswith("make "):
        assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif "silk-sfm" in command:
        in_venv = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, **in_venv},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout
    elif command.startswith("python pipelines/"):
        assert (ROOT / command.split()[1]).exists()
    else:
        assert command.startswith(("pip install", "git ")) or not command, command


def run_python(block: str, folder: Path) -> None:
    """Run a block, or write it where its first line says."""
    first = block.splitlines()[0]
    if first.startswith("# ") and first.endswith(".py"):
        (folder / first[2:]).write_text(block)
        return
    subprocess.run([sys.executable, "-c", block], cwd=folder, check=True)


def test_every_command_is_documented() -> None:
    for command in COMMANDS:
        assert f"silk-sfm {command}" in README or command == "demo", command


def test_files_that_the_readme_names_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"@[A-Z]+@", README)
