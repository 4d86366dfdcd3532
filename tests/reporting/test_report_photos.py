"""Thumbnails: within their budget, upright, with keypoints where they belong."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from report_scene import report_scene, write_photo

from silk_sfm.errors import ImageError
from silk_sfm.reporting.findings import Findings, ImageFinding
from silk_sfm.reporting.gather import gather
from silk_sfm.reporting.output import sources_of
from silk_sfm.reporting.photos import THUMBNAILS, read_shrunk, thumbnail, unit_positions
from silk_sfm.reporting.pictures import Thumbnail, make_pictures
from silk_sfm.stages.report import silent


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_keypoints_stay_on_what_they_marked(orientation: int, suffix: str, tmp_path: Path) -> None:
    pixels = np.zeros((600, 800, 3), np.uint8)
    pixels[120:160, 600:640] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(pixels).save(path, exif=exif)
    shrunk = read_shrunk(path, 200)
    assert max(shrunk.pixels.shape) == 200
    assert (shrunk.pixels.shape[0] == 200) == (orientation >= 5)
    ((x, y),) = unit_positions(np.array([[619.5, 139.5]]), shrunk.grid)
    height, width = shrunk.pixels.shape[:2]
    rows, columns = np.nonzero(shrunk.pixels[..., 0] > 128)
    assert columns.mean() + 0.5 == pytest.approx(x * width, abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx(y * height, abs=0.6)


@pytest.mark.parametrize("most_bytes", [2_000, 9_000, 40_000, 400_000])
def test_a_thumbnail_is_as_good_as_its_budget_allows(most_bytes: int, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", 0, (1600, 1200))
    made = thumbnail(tmp_path / "a.jpg", most_bytes)
    assert made is not None
    jpeg, grid = made
    assert len(jpeg) <= most_bytes
    with Image.open(BytesIO(jpeg)) as image:
        assert image.size == grid.input_size
    sides = [side for side, _ in THUMBNAILS]
    assert (max(grid.input_size) == sides[0]) == (most_bytes == 400_000)
    assert max(grid.input_size) in sides


def test_no_thumbnail_fits_a_hopeless_budget(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", 0)
    assert thumbnail(tmp_path / "a.jpg", 300) is None


def test_a_damaged_photo_is_an_error_of_ours(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", 0)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:3000])
    with pytest.raises(ImageError, match=r"cut\.jpg is damaged: "):
        read_shrunk(tmp_path / "cut.jpg", 100)


def test_sixteen_bits_and_one_channel(tmp_path: Path) -> None:
    grey = np.full((60, 80), 32768, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), grey)
    assert read_shrunk(tmp_path / "deep.png", 40).pixels[0, 0].tolist() == [128, 128, 128]


def findings(out: Path) -> Findings:
    return gather(sources_of(out, out / "photos"), silent)


def dots_of(made: Thumbnail) -> np.ndarray:
    """(K, 2) shares of width and height."""
    return np.frombuffer(base64.b64decode(made.dots), "<u2").reshape(-1, 2) / 65535


def test_keypoints_that_see_a_point_come_first(tmp_path: Path) -> None:
    scene = report_scene(["a.jpg", "b.jpg"])
    for seed, name in enumerate(scene.names):
        write_photo(tmp_path / "photos" / name, seed)
    scene.write_features(tmp_path / "features.h5", {"a.jpg": 300, "b.jpg": 120})
    scene.write_model(tmp_path / "sparse" / "0", scene.names, 120)
    found = make_pictures(findings(tmp_path), silent).thumbnails
    dots = dots_of(found["a.jpg"])
    expected = np.clip((scene.keypoints("a.jpg") + 0.5) / [800, 600], 0, 1)
    assert (found["a.jpg"].n_seeing, len(dots)) == (120, 300)
    assert np.abs(dots - expected).max() < 1e-4
    assert (found["b.jpg"].n_seeing, len(dots_of(found["b.jpg"]))) == (120, 120)


def test_a_missing_photo_is_counted(tmp_path: Path) -> None:
    scene = report_scene(["a.jpg", "b.jpg", "c.jpg"])
    write_photo(tmp_path / "photos" / "a.jpg", 0)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"")
    scene.write_features(tmp_path / "features.h5", dict.fromkeys(scene.names, 300))
    scene.write_verified(tmp_path / "verified.h5", {("a.jpg", "b.jpg"): 40})
    made = make_pictures(findings(tmp_path), silent)
    assert list(made.thumbnails) == ["a.jpg"]
    assert made.n_missing == 2
    assert made.pairs == ()


def test_without_a_folder_of_photos_all_are_missing(tmp_path: Path) -> None:
    scene = report_scene(["a.jpg", "b.jpg"])
    scene.write_features(tmp_path / "features.h5", dict.fromkeys(scene.names, 300))
    found = gather(sources_of(tmp_path), silent)
    assert all(isinstance(image, ImageFinding) for image in found.images)
    assert make_pictures(found, silent).n_missing == 2
