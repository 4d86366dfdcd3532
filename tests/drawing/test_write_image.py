from pathlib import Path

import cv2
import numpy as np
import pytest

from silk_sfm.drawing import write_image
from silk_sfm.errors import ImageError

RED = np.zeros((8, 12, 3), np.uint8)
RED[:, :, 0] = 250


def test_a_png_keeps_every_value(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    write_image(tmp_path / "new" / "a.png", image)
    stored = cv2.imread(str(tmp_path / "new" / "a.png"))
    np.testing.assert_array_equal(stored[:, :, ::-1], image)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.PNG"])
def test_red_stays_red(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name, RED)
    np.testing.assert_allclose(cv2.imread(str(tmp_path / name))[4, 6], [0, 0, 250], atol=6)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError, match=r"Cannot write .*a\.gif\. Name the picture \.png or \.jpg\."
    ):
        write_image(tmp_path / "a.gif", RED)
    assert not list(tmp_path.iterdir())


def test_more_pixels_than_a_jpeg_can_have(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        write_image(tmp_path / "a.jpg", np.zeros((1, 70_000, 3), np.uint8))
    assert str(caught.value) == (
        f"Cannot write {tmp_path}/a.jpg: 70000 x 1 pixels are too many for this kind of file. "
        "Choose .png or a smaller picture."
    )
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", RED)
    before = (tmp_path / "a.png").read_bytes()

    def full_disk(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_image(tmp_path / "a.png", RED[:, ::-1] // 2)
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
