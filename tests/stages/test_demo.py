"""The demo, as `make demo` runs it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from silk_sfm.cli import main


@pytest.mark.slow
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "map: 16 of 16 images registered" in printed
    assert "pose errors against the known cameras (medians): rotation 0.0" in printed
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["registered_images"] == 16
    assert summary["points"] > 1000
    assert list(summary["stages"]) == ["extract", "match", "verify", "map"]
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["command"] == f"silk-sfm demo {tmp_path} --device cpu"
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "sparse/0/cameras.bin").exists()
    assert (tmp_path / "points.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 4
    for picture in pictures:
        assert np.ptp(cv2.imread(str(picture))) > 100
    assert main(["demo", str(tmp_path), "--device", "cpu"]) == 0
    again = capsys.readouterr().out
    assert "extract: 16 images, 16 of them reused" in again
    assert "(reused)" in again
    assert again.splitlines()[4] == printed.splitlines()[4]  # the same pose errors
