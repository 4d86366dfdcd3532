"""Ray is imported by one module, and only when it is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "silk_sfm"
IMPORTERS = {"ray": "scaling/cluster.py", "h5py": "store/", "pycolmap": "colmap/", "tyro": "cli/"}


def imported(path: Path) -> set[str]:
    """The libraries that a module names in its imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(("library", "home"), IMPORTERS.items())
def test_each_library_has_one_home(library: str, home: str) -> None:
    importers = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if library in imported(path)
    ]
    assert importers
    assert all(path.startswith(home) for path in importers), importers


def test_ray_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, silk_sfm.cli.extract; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
