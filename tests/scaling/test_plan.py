"""The plan for a million images is what its script computes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "pipelines" / "million_images.py"


def printed(*arguments: str) -> str:
    return subprocess.check_output([sys.executable, str(SCRIPT), *arguments], text=True)


def test_the_table_in_the_documentation() -> None:
    assert printed() in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_known_figures() -> None:
    rows = dict(
        line.strip("| ").split(" | ", 1)
        for line in printed("--images", "1000", "--pairs-each", "18", "--cores", "2").splitlines()
        if " | " in line
    )
    assert rows["extraction"].split(" | ") == ["5.4", "2.7", "2.1", "33"]
    assert rows["matching"].split(" | ") == ["0.95", "0.47", "0.1", "18"]
