"""The pipeline that turns and shrinks photos, on one small photo."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import pytest
from homography_sets import texture

PIPELINE = Path(__file__).parents[2] / "pipelines" / "rotation_scale.py"


@pytest.mark.slow
def test_sift_bears_rotation_and_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    photo = cv2.GaussianBlur(texture((300, 240)), (0, 0), 1.5)
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), photo)
    out = tmp_path / "out" / "photos_300"  # another size or other photos go elsewhere
    words = [str(PIPELINE), str(tmp_path / "photos"), "--methods", "sift"]
    words += ["--out", str(tmp_path / "out"), "--side", "300"]
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(PIPELINE), run_name="__main__")
    rows = json.loads((out / "results.json").read_text())["measured"]
    by_subset = {row["subset"]: row["metrics"] for row in rows}
    assert len(by_subset) == 17  # overall, 9 angles, 7 factors
    for subset in ("turn 000", "turn 030", "turn 180", "scale 1.00", "scale 1.50"):
        assert by_subset[subset]["Success@3"] == 1, subset
    assert by_subset["turn 000"]["MMA@3"] > 0.99
    assert by_subset["scale 4.00"]["inliers"] < by_subset["scale 1.50"]["inliers"]
    printed = capsys.readouterr().out
    assert "| sift | turn 045 | OpenCV RANSAC | 3 px | 168x168 |" in printed
    for name in ("success_at_3.png", "mma_at_3.png", "inliers.png"):
        assert str(out / name) in printed
        assert (out / name).stat().st_size > 1000
