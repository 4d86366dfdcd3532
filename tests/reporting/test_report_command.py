"""`silk-sfm report`, and the report at the end of `reconstruct`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from report_scene import report_scene, write_whole
from small_photos import write_small_photos, write_small_weights

from silk_sfm.cli import main
from silk_sfm.cli import report as command


def silk_sfm(*argv: object) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in argv])
    return status, out.getvalue(), err.getvalue()


def data_in(page: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.S
    )
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


# ---------- by itself ----------


def test_a_folder_with_stores_and_a_model(tmp_path: Path) -> None:
    names = ("a.jpg", "b.jpg", "c.jpg")
    write_whole(tmp_path / "out", names, names[:2])
    page = tmp_path / "out" / "report.html"
    status, told, _ = silk_sfm("report", tmp_path / "out", "--images", tmp_path / "out" / "photos")
    size = f"{page.stat().st_size / 1e6:.1f} MB"
    assert (status, told) == (0, f"report: 2 of 3 images registered, {size} -> {page}\n")
    data = data_in(page)
    assert data["title"] == "out"
    assert data["run"] is None
    assert len(data["pictures"]) == 3
    assert silk_sfm("report", tmp_path / "out", "--quiet") == (0, "", "")
    assert data_in(page)["n_unseen"] == 3  # without --images no photos are found
    told = silk_sfm("report", tmp_path / "out")[1]
    assert told.startswith("report: 2 of 3 images registered, 3 without a picture, ")


def test_a_bare_model_and_stores_elsewhere(tmp_path: Path) -> None:
    scene = report_scene(["a.jpg", "b.jpg", "c.jpg"])
    scene.write_model(tmp_path / "model", ["a.jpg", "b.jpg"], 100)
    assert silk_sfm("report", tmp_path / "model")[0] == 0
    data = data_in(tmp_path / "model" / "report.html")
    assert [image["name"] for image in data["images"]] == ["a.jpg", "b.jpg"]
    assert data["pairs"] is None
    scene.write_features(tmp_path / "f.h5", dict.fromkeys(scene.names, 300))
    scene.write_verified(tmp_path / "v.h5", {("a.jpg", "c.jpg"): 33})
    stores = ("--features", tmp_path / "f.h5", "--verified", tmp_path / "v.h5")
    assert silk_sfm("report", tmp_path / "model", *stores)[0] == 0
    data = data_in(tmp_path / "model" / "report.html")
    assert [image["status"] for image in data["images"]] == ["registered", "registered", "left out"]


def test_a_folder_with_nothing_in_it(tmp_path: Path) -> None:
    status, _, told = silk_sfm("report", tmp_path)
    assert status == 1
    assert told.startswith(f"silk-sfm report: error: Nothing to report in {tmp_path}: no model")
    assert told.count("\n") == 1


def test_live_needs_a_model(tmp_path: Path) -> None:
    report_scene(["a.jpg"]).write_features(tmp_path / "features.h5", {"a.jpg": 3})
    status, _, told = silk_sfm("report", tmp_path, "--live")
    assert status == 1
    assert told == (
        f"silk-sfm report: error: --live shows a model, and there is none in {tmp_path}.\n"
    )


# ---------- at the end of reconstruct ----------


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos and a file that is none, and small weights."""
    root = tmp_path_factory.mktemp("inputs")
    write_small_photos(root / "photos", 4)
    (root / "photos" / "broken.jpg").write_bytes(b"no photo")
    write_small_weights(root / "micro.safetensors")
    return root


def reconstruct(inputs: Path, out: Path, *flags: object) -> tuple[int, str, str]:
    weights = ("--extractor.weights", inputs / "micro.safetensors", "--extractor.top-k", 300)
    model = ("--matcher", "mutual", "--verifier.model", "homography", "--device", "cpu")
    return silk_sfm("reconstruct", inputs / "photos", out, *weights, *model, *flags)


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    out = tmp_path_factory.mktemp("finished") / "out"
    return out, *reconstruct(inputs, out)


def test_a_finished_run_is_reported(finished: tuple[Path, int, str, str]) -> None:
    out, status, told, _ = finished
    assert status == 3  # one photo was skipped
    line = r"^report: 4 of 5 images registered, 1 without a picture, 0\.\d MB -> .*report\.html$"
    assert re.search(line, told, re.M)
    data = data_in(out / "report.html")
    assert data["run"]["stopped"] == ""
    assert data["run"]["command"].startswith("silk-sfm reconstruct ")
    assert list(data["run"]["stages"]) == ["extract", "match", "verify", "map"]
    for stage in data["run"]["stages"].values():
        assert stage["seconds"] >= 0
        assert stage["peak_memory_mb"] > 50
    assert data["images"][0]["thumbnail"]["size"] == [160, 120]
    assert data["scene"]["images"] == [0, 1, 2, 3]
    broken = data["images"][4]
    assert (broken["name"], broken["status"]) == ("broken.jpg", "unread")
    assert "is no image that can be read" in broken["why"]


def test_a_second_run_keeps_the_costs_of_the_first(
    finished: tuple[Path, int, str, str], inputs: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished[0], tmp_path / "out")
    before = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["stages"]
    assert reconstruct(inputs, tmp_path / "out")[0] == 3
    after = data_in(tmp_path / "out" / "report.html")["run"]["stages"]
    assert list(after) == list(before)
    for name, stage in after.items():
        assert stage["kept"]
        assert stage["seconds"] == before[name]["seconds"]
        assert stage["peak_memory_mb"] == before[name]["peak_memory_mb"]
    assert after["extract"]["skipped"].keys() == {"broken.jpg"}


def test_no_report_when_it_is_not_wanted(
    finished: tuple[Path, int, str, str], inputs: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished[0], tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    status, told, _ = reconstruct(inputs, tmp_path / "out", "--no-report")
    assert status == 3
    assert "report:" not in told
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_run_without_a_model_is_reported_with_its_reasons(inputs: Path, tmp_path: Path) -> None:
    strict = ("--mapping.min-matches", 5000, "--mapping.fallback-seeds", 0)
    status, told, complained = reconstruct(inputs, tmp_path, *strict)
    assert status == 1
    assert "report: 0 of 5 images registered, " in told
    assert "silk-sfm reconstruct: error: The incremental mapper made no model" in complained
    data = data_in(tmp_path / "report.html")
    assert data["run"]["stopped"].startswith("map: The incremental mapper made no model")
    assert list(data["run"]["stages"]) == ["extract", "match", "verify"]
    assert data["images"][0]["status"] == "left out"
    assert data["images"][0]["why"].endswith("but no model was made.")
    assert data["scene"] is None


@pytest.mark.parametrize(
    ("error", "told"), [(ValueError("odd model."), "odd model"), (MemoryError(), "MemoryError")]
)
def test_an_error_of_the_report_is_told_and_changes_no_exit_status(
    error: Exception,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "report_on", fail)
    report_scene(["a.jpg", "b.jpg"]).write_model(tmp_path / "sparse" / "0", ["a.jpg", "b.jpg"], 9)
    command.add_report(tmp_path, True, command.OutputOptions())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"silk-sfm: no report.html: {told}. What was finished is kept; try again: "
        f"silk-sfm report {shlex.quote(str(tmp_path))}\n"
    )
    command.add_report(tmp_path, False, command.OutputOptions())
    assert capsys.readouterr().err == ""
