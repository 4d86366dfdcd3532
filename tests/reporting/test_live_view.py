"""The live view: a real server of viser with the model in it, or the name of the extra."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from report_scene import report_scene, write_photo

from silk_sfm.colmap.model import read_model
from silk_sfm.errors import ConfigError
from silk_sfm.reporting import live
from silk_sfm.reporting.live import show_live

NAMES = ("a b.jpg", "<b>.jpg")


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    report_scene(NAMES).write_model(tmp_path / "model", NAMES, 100)
    return tmp_path / "model"


def test_the_model_is_served(model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("viser", reason="needs viser, the extra `live`")
    write_photo(tmp_path / "photos" / NAMES[0], 0)
    with show_live(model_dir, tmp_path / "photos", port=0) as served:
        assert served.url.startswith("http://127.0.0.1:")
        with urlopen(served.url) as page:
            assert b"<html" in page.read()
        handles = {handle.name: handle for handle in served.shown}
        assert list(handles) == ["/points", "/cameras/0", "/cameras/1"]
        centres = [pose.centre for pose in read_model(model_dir).poses.values()]
        for index, centre in enumerate(centres):
            assert np.allclose(handles[f"/cameras/{index}"].position, centre)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_shown_as_its_camera_saw_it(
    orientation: int, model_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("viser", reason="needs viser, the extra `live`")
    pixels = np.zeros((600, 800, 3), np.uint8)
    pixels[:300, :400] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / NAMES[0], "JPEG", exif=exif)
    with show_live(model_dir, tmp_path, port=0) as served:
        shown = {handle.name: handle for handle in served.shown}["/cameras/1"].image
    assert shown.shape == (120, 160, 3)
    assert (shown[:58, :78] > 200).all()
    assert (shown[62:] < 50).all()
    assert (shown[:, 82:] < 50).all()


def test_without_viser_the_extra_is_named(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def missing(name: str) -> ModuleSpec | None:
        return None if name == "viser" else found(name)

    monkeypatch.setattr(live, "find_spec", missing)
    with (
        pytest.raises(
            ConfigError, match=r"^The live view needs viser: pip install 'silk-sfm\[live\]'\.$"
        ),
        show_live(model_dir, None),
    ):
        pass
