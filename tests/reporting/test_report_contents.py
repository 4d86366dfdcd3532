"""The JSON of the page against scenes whose numbers are known."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_scene import report_scene, write_whole

from silk_sfm.colmap.model import read_model
from silk_sfm.errors import ImageError, ReconstructionError, StoreError
from silk_sfm.reporting import contents as module
from silk_sfm.reporting.contents import contents, error_histogram, track_histogram
from silk_sfm.reporting.gather import gather
from silk_sfm.reporting.output import sources_of
from silk_sfm.reporting.page import as_script
from silk_sfm.reporting.pictures import make_pictures
from silk_sfm.stages.report import silent

NAMES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def data_of(out: Path, photos: Path | None = None) -> dict[str, Any]:
    findings = gather(sources_of(out, photos), silent)
    return contents(findings, make_pictures(findings, silent))


def decoded(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    write_whole(out, NAMES, NAMES[:3])
    return out


@pytest.fixture(scope="module")
def data(out: Path) -> dict[str, Any]:
    return data_of(out, out / "photos")


def test_summary(data: dict[str, Any]) -> None:
    assert data["summary"] == {
        "images": 4,
        "models": [3],
        "registered": 3,
        "points": 200,
        "observations": 600,
        "track_length": 3.0,
        "reprojection_px": pytest.approx(0, abs=1e-3),
        "keypoints": 1200,
        "pairs": 6,
        "verified_pairs": 6,
        "inliers": 30 + 35 + 40 + 45 + 50 + 55,
    }


def test_images(data: dict[str, Any]) -> None:
    assert [image["name"] for image in data["images"]] == list(NAMES)
    assert [image["status"] for image in data["images"]] == ["registered"] * 3 + ["left out"]
    first, last = data["images"][0], data["images"][3]
    assert (first["keypoints"], first["observed"], first["size"]) == (300, 200, (800, 600))
    assert first["error_px"] == pytest.approx(0, abs=1e-3)
    assert (last["observed"], last["error_px"]) == (None, None)
    assert data["n_unseen"] == 0


def test_pairs_are_sorted_by_inliers(data: dict[str, Any]) -> None:
    pairs = data["pairs"]
    inliers = decoded(pairs["inliers"], "<u4")
    assert inliers.tolist() == [55, 50, 45, 40, 35, 30]
    assert decoded(pairs["tentative"], "<u4").tolist() == (inliers + 20).tolist()
    assert decoded(pairs["first"], "<u4").tolist() == [2, 1, 1, 0, 0, 0]
    assert decoded(pairs["second"], "<u4").tolist() == [3, 3, 2, 3, 2, 1]
    assert pairs["n_left_out"] == 0
    assert not decoded(pairs["in_vain"], "u1").any()


def test_only_the_strongest_pairs_fit(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAIRS", 2)
    pairs = data_of(out)["pairs"]
    assert decoded(pairs["inliers"], "<u4").tolist() == [55, 50]
    assert pairs["n_left_out"] == 4


def test_pairs_tried_in_vain_are_marked_on_both_sides(tmp_path: Path) -> None:
    scene = report_scene(NAMES)
    scene.write_features(tmp_path / "features.h5", dict.fromkeys(NAMES, 300))
    scene.write_verified(tmp_path / "verified.h5", {("a.jpg", "c.jpg"): 0, ("a.jpg", "b.jpg"): 40})
    bits = np.unpackbits(decoded(data_of(tmp_path)["pairs"]["in_vain"], "u1"), count=16)
    assert np.argwhere(bits.reshape(4, 4)).tolist() == [[0, 2], [2, 0]]


def test_cameras_of_the_scene_know_their_image(out: Path, data: dict[str, Any]) -> None:
    cameras = decoded(data["scene"]["cameras"], "<f4").reshape(-1, 14)
    poses = read_model(out / "sparse" / "0").poses
    assert len(cameras) == len(data["scene"]["images"]) == 3
    for row, image in zip(cameras, data["scene"]["images"], strict=True):
        assert np.allclose(row[:3], poses[data["images"][image]["name"]].centre, atol=1e-5)


def test_the_best_and_the_weakest_pairs_are_pictured_once(data: dict[str, Any]) -> None:
    told = [(one["rank"], one["inliers"], one["tentative"]) for one in data["pictures"]]
    assert told == [
        ("most", 55, 75), ("most", 50, 70), ("most", 45, 65),
        ("fewest", 40, 60), ("fewest", 35, 55), ("fewest", 30, 50),
    ]  # fmt: skip
    assert (data["pictures"][0]["first"], data["pictures"][0]["second"]) == ("c.jpg", "d.jpg")


def test_smaller_models_are_counted_and_their_images_named(tmp_path: Path) -> None:
    names = [*NAMES, "e.jpg"]
    scene = report_scene(names)
    scene.write_model(tmp_path / "sparse" / "0", names[:3], 100)
    scene.write_model(tmp_path / "sparse" / "1", names[3:], 100)
    data = data_of(tmp_path)
    assert data["summary"]["models"] == [3, 2]
    assert [image["status"] for image in data["images"]] == ["registered"] * 3 + ["other model"] * 2


def test_the_model_with_the_most_images_is_the_one_shown(tmp_path: Path) -> None:
    scene = report_scene(NAMES)
    scene.write_model(tmp_path / "sparse" / "0", NAMES[:2], 100)
    scene.write_model(tmp_path / "sparse" / "1", NAMES[1:], 100)
    data = data_of(tmp_path)
    assert data["summary"]["models"] == [3, 2]
    assert data["summary"]["registered"] == 3
    assert data["images"][0]["why"].startswith("In model 2 of 2, with 1 other image;")


def test_error_histogram() -> None:
    errors = np.array([*np.linspace(0, 1, 995), *np.full(5, 5.0)])
    found = error_histogram(errors)
    assert sum(found["counts"]) == 1000
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert found["edges"][0] == 0
    assert found["edges"][-1] == pytest.approx(np.percentile(errors, 99), abs=1e-4)
    assert found["open_end"]
    assert found["counts"][-1] > 5 + 995 / 40 / 2  # all beyond stand in the last bar
    assert found["mean"] == pytest.approx(errors.mean(), abs=1e-4)
    assert error_histogram(np.zeros(5))["counts"][0] == 5


@pytest.mark.parametrize("error", [0.0, 1e-13, 2e-5])
def test_errors_of_a_perfect_model_have_bins_that_differ(error: float) -> None:
    edges = error_histogram(np.full(9, error))["edges"]
    assert len(set(edges)) == len(edges)


def test_track_histogram() -> None:
    found = track_histogram(np.array([2, 2, 2, 3, 5]))
    assert found["edges"] == [1.5, 2.5, 3.5, 4.5, 5.5]
    assert found["counts"] == [3, 1, 0, 1]
    assert (found["mean"], found["median"], found["open_end"]) == (2.8, 2.0, False)
    long = track_histogram(np.array([2] * 900 + [3] * 95 + [400] * 5))
    assert long["open_end"]
    assert long["counts"] == [900, 100]


def test_all_of_it_is_json_that_cannot_end_its_element(data: dict[str, Any]) -> None:
    name = "</script><!--\u2028\udcff&\"'"
    text = as_script({**data, "title": name})
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text)["title"] == name


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError) as raised:
        sources_of(tmp_path)
    assert str(raised.value) == (
        f"Nothing to report in {tmp_path}: no model and no features.h5. Give the folder that "
        "`silk-sfm reconstruct` wrote, or a COLMAP model."
    )


def test_an_empty_store_names_no_image(tmp_path: Path) -> None:
    report_scene(NAMES).write_features(tmp_path / "features.h5", {})
    with pytest.raises(ReconstructionError, match="no image has features or is in a model"):
        gather(sources_of(tmp_path), silent)


def test_pairs_of_other_features_are_an_error(tmp_path: Path) -> None:
    scene = report_scene(NAMES)
    scene.write_verified(tmp_path / "verified.h5", {("a.jpg", "b.jpg"): 40})
    scene.write_features(tmp_path / "features.h5", dict.fromkeys(NAMES, 20))
    with pytest.raises(StoreError, match=r"verified\.h5 was made from other features than "):
        gather(sources_of(tmp_path), silent)


def test_photos_that_are_no_folder_are_an_error(out: Path) -> None:
    with pytest.raises(ImageError) as raised:
        sources_of(out, out / "phots")
    assert str(raised.value) == (
        f"{out / 'phots'} is no folder. Give the one that the model's photos lie in."
    )


def test_a_store_that_is_none_is_an_error(out: Path) -> None:
    sources = sources_of(out, verified=out / "features.h5")
    with pytest.raises(StoreError):
        gather(sources, silent)
