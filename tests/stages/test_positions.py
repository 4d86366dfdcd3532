"""Where photos were taken: EXIF and text files."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from silk_sfm.errors import PairError
from silk_sfm.stages.positions import (
    GPS_IFD,
    in_metres,
    locate,
    read_exif_position,
    read_positions,
)

NAMES = ["a.jpg", "b.jpg", "my photo.jpg"]
LUND: dict[int, Any] = {1: "N", 2: (55.0, 42.0, 47.16), 3: "E", 4: (13.0, 11.0, 28.32)}


def write_photo(path: Path, gps: dict[int, Any]) -> Path:
    image, exif = Image.new("RGB", (8, 6)), Image.Exif()
    exif.get_ifd(GPS_IFD).update(gps)
    image.save(path, exif=exif)
    return path


def test_degrees_minutes_and_seconds(tmp_path: Path) -> None:
    found = read_exif_position(write_photo(tmp_path / "a.jpg", LUND))
    assert found is not None
    assert found[:2] == pytest.approx((55.7131, 13.1912), abs=1e-9)
    assert found[2] is None


def test_south_west_and_below_the_sea(tmp_path: Path) -> None:
    gps = LUND | {1: "S", 3: "W", 5: b"\x01", 6: IFDRational(Fraction(123, 10))}
    found = read_exif_position(write_photo(tmp_path / "a.jpg", gps))
    assert found == pytest.approx((-55.7131, -13.1912, -12.3), abs=1e-9)
    for reference, sign in ((b"\x00", 1), (b"\x02", 1), (b"\x03", -1)):  # EXIF 3.0: 2 and 3
        again = read_exif_position(write_photo(tmp_path / "a.jpg", gps | {5: reference}))
        assert again is not None
        assert again[2] == pytest.approx(sign * 12.3)


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {1: "N", 2: (55.0, 42.0, 47.16)},  # no longitude
        LUND | {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)},  # a receiver without a fix
        LUND | {2: (91.0, 0.0, 0.0)},
        LUND | {2: (IFDRational(0, 0), 0.0, 0.0)},  # 0 / 0
        LUND | {2: 55.0},
    ],
)
def test_no_position(tmp_path: Path, gps: dict[int, Any]) -> None:
    assert read_exif_position(write_photo(tmp_path / "a.jpg", gps)) is None


def test_huge_photos_have_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses photos of twice as many pixels as its limit, and warns of half of them."""
    path = write_photo(tmp_path / "a.jpg", LUND)
    for limit in (20, 40):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_exif_position(path) is not None


def test_no_photo(tmp_path: Path) -> None:
    assert read_exif_position(tmp_path / "none.jpg") is None
    (tmp_path / "text.jpg").write_text("no photo")
    assert read_exif_position(tmp_path / "text.jpg") is None


@pytest.mark.parametrize(
    "line",
    ["my photo.jpg 55.5 13.25 90", "my photo.jpg\t55.5\t13.25\t90", "my photo.jpg, 55.5, 13.25,90"],
)
def test_lines_of_a_file(tmp_path: Path, line: str) -> None:
    path = tmp_path / "positions.txt"
    path.write_text(f"# name lat lon alt\n\nelsewhere.jpg 1 2\nb.jpg 55 13\n{line}\n")
    found = read_positions(path, NAMES, "degrees")
    assert found == {"b.jpg": (55.0, 13.0, None), "my photo.jpg": (55.5, 13.25, 90.0)}
    assert list(found) == ["b.jpg", "my photo.jpg"]


def test_names_that_look_like_comments_and_a_mark_of_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("\ufeffa.jpg,55,13\n#1.jpg,55,14\n#b.jpg,55,15\n", encoding="utf-8")
    found = read_positions(path, ["#1.jpg", "a.jpg", "b.jpg"], "degrees")
    assert found == {"#1.jpg": (55, 14, None), "a.jpg": (55, 13, None)}


def test_faulty_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a.jpg 91 0\na.jpg one two\na.jpg 1\na.jpg nan 1\na.jpg 1 1\na.jpg 2 2\n")
    with pytest.raises(PairError) as caught:
        read_positions(path, NAMES, "degrees")
    assert str(caught.value) == (
        f"Positions {path}: line 1: `a.jpg 91 0` is no latitude and longitude in degrees; "
        "line 2: `a.jpg one two` is no name with two or three numbers; "
        "line 3: `a.jpg 1` is no name with two or three numbers; "
        "line 4: `a.jpg nan 1` is no name with two or three numbers; "
        "line 6: `a.jpg` is already at another place."
    )
    assert read_positions(_written(path, "a.jpg 91 400\n"), NAMES, "metres")


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_files_of_no_use(tmp_path: Path) -> None:
    path = _written(tmp_path / "p.txt", "photos/a.jpg 1 1\nc.jpg 2 2\n")
    with pytest.raises(PairError) as caught:
        read_positions(path, NAMES, "degrees")
    assert str(caught.value) == (
        f"Positions {path}: none of its 2 names is one of the 3 images. Names are relative to the "
        "image folder."
    )
    with pytest.raises(PairError, match="^Cannot read the positions .*none"):
        read_positions(tmp_path / "none.txt", NAMES, "degrees")


def test_metres_apart() -> None:
    places = {"a": (55.0, 13.0, 10.0), "b": (55.0 + 1 / 60, 13.0, 40.0)}  # a nautical mile
    flat, high = (in_metres(places, "degrees", with_height) for with_height in (False, True))
    assert np.linalg.norm(flat[0] - flat[1]) == pytest.approx(1855.5, abs=1)
    assert np.linalg.norm(high[0] - high[1]) == pytest.approx(np.hypot(1855.5, 30), abs=1)
    beyond = {"a": (10.0, 179.9999, None), "b": (10.0, -179.9999, None)}  # of the date line
    west, east = in_metres(beyond, "degrees", False)
    assert np.linalg.norm(west - east) == pytest.approx(21.9279, abs=1e-4)  # by Vincenty's formula
    local = {"a": (1.0, 2.0, 3.0)}
    assert in_metres(local, "metres", True).tolist() == [[1, 2, 3]]
    assert in_metres(local, "metres", False).tolist() == [[1, 2, 0]]


def test_images_without_a_position_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jpg", "my photo.jpg"):
        write_photo(tmp_path / name, LUND)
    write_photo(tmp_path / "b.jpg", {})
    with caplog.at_level(logging.WARNING):
        found = locate(
            NAMES, tmp_path, None, "metres", False
        )  # EXIF is in degrees whatever it says
    assert found.numbers == [0, 2]
    assert found.placeless == ["b.jpg"]
    assert np.linalg.norm(found.points[0]) > 6e6
    assert caplog.messages == [
        f"1 of 3 images have no position in the EXIF of the photos in {tmp_path} and get no "
        "spatial pairs: `b.jpg`"
    ]


def test_no_altitude_is_not_the_height_of_the_sea(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where heights count, an image without one would be far below the others."""
    path = _written(tmp_path / "p.txt", "a.jpg 55 13 300\nb.jpg 55 13\nmy photo.jpg 55 13 310\n")
    flat = locate(NAMES, None, path, "degrees", with_height=False)
    assert flat.numbers == [0, 1, 2]
    high = locate(NAMES, None, path, "degrees", with_height=True)
    assert (high.numbers, high.placeless) == ([0, 2], ["b.jpg"])
    assert np.linalg.norm(high.points[0] - high.points[1]) == pytest.approx(10, abs=1e-6)
    assert caplog.messages == [
        f"1 of 3 images have no position with altitude in {path} and get no spatial pairs: `b.jpg`"
    ]


def test_too_few_positions(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", LUND)
    with pytest.raises(PairError) as caught:
        locate(NAMES, tmp_path, None, "degrees", False)
    assert str(caught.value) == (
        f"1 of 3 images have a position in the EXIF of the photos in {tmp_path}, spatial pairs "
        "need two. Give `positions` in a file, or pair the images in another way."
    )
    with pytest.raises(PairError, match=r"^No folder .*none\. Give the folder that holds the pho"):
        locate(NAMES, tmp_path / "none", None, "degrees", False)
    with pytest.raises(PairError, match=r"^Spatial pairs need positions: a folder of photos"):
        locate(NAMES, None, None, "degrees", False)
