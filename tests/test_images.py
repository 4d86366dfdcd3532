from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from silk_sfm.errors import ImageError
from silk_sfm.images import ImageFolder, MaskFolder, decode, grey, image_size, resize
from silk_sfm.pixels import ORIENTATIONS, upright_size


def photo(height: int = 30, width: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_names_are_relative_sorted_and_of_known_kinds(tmp_path: Path) -> None:
    for name in ("b.JPG", "sub folder/a ü.png", "sub/x.webp", "a..b.tif", "c.ppm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.jpg").write_text("no image")
    names = ImageFolder.open(tmp_path).names
    assert names == ("a..b.tif", "b.JPG", "c.ppm", "sub folder/a ü.png", "sub/x.webp")
    assert all(decode(tmp_path / name)[0].shape == (30, 40, 3) for name in names)


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"No image in .* or below it. Known kinds: .bmp, .jpeg"):
        ImageFolder.open(tmp_path)
    with pytest.raises(ImageError, match="No folder .*none. Give the folder that holds"):
        ImageFolder.open(tmp_path / "none")


def test_grey_is_itu_r_601() -> None:
    colours = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]], np.float32)
    np.testing.assert_allclose(grey(colours), [[0.299, 0.587, 0.114, 1]], atol=1e-6)


def test_grey_files_are_scaled_like_any_other(tmp_path: Path) -> None:
    values = photo()[:, :, 0]
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(np.repeat(values[:, :, None], 3, axis=2)).save(tmp_path / "rgb.png")
    folder = ImageFolder.open(tmp_path)
    pixels = folder.read("grey.png", "grey").pixels
    np.testing.assert_allclose(pixels, values / 255, atol=1e-6)
    np.testing.assert_allclose(folder.read("rgb.png", "grey").pixels, pixels, atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_keep_their_precision(tmp_path: Path, suffix: str, channels: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 65536, (20, 30, channels), dtype=np.uint16)
    if channels == 4:
        values[:, :, 3] = 65535
    assert cv2.imwrite(str(tmp_path / f"deep.{suffix}"), values.squeeze())
    rgb = np.repeat(values, 3, axis=2) if channels == 1 else values[:, :, 2::-1]
    pixels, _ = decode(tmp_path / f"deep.{suffix}")
    np.testing.assert_allclose(pixels, rgb / 65535, atol=1e-6)


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    values = np.zeros((4, 4, 4), np.uint8)
    values[0, 0] = 255, 0, 0, 255
    Image.fromarray(values).save(tmp_path / "alpha.png")
    pixels, _ = decode(tmp_path / "alpha.png")
    assert pixels[0, 0].tolist() == [1, 0, 0]
    assert pixels[1, 1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_photos_are_read_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo(30, 40)).save(tmp_path / "turned.png", exif=exif)
    read = ImageFolder.open(tmp_path).read("turned.png", "rgb")
    assert read.pixels.shape[1::-1] == upright_size((40, 30), orientation)
    assert read.grid.raw_size == (40, 30) == image_size(tmp_path / "turned.png")
    corner = read.grid.to_raw(np.zeros((1, 2))).astype(int)[0]
    np.testing.assert_allclose(read.pixels[0, 0] * 255, photo(30, 40)[corner[1], corner[0]])


def test_resize_keeps_positions() -> None:
    ramp = np.tile(np.arange(80, dtype=np.float32), (60, 1))
    small = resize(
        ramp, (20, 15)
    )  # a ramp holds x: pixel 0 of the small one is x = 1.5 of the large
    np.testing.assert_allclose(small[3], (np.arange(20) + 0.5) * 4 - 0.5, atol=1e-4)


def test_max_side(tmp_path: Path) -> None:
    Image.fromarray(photo(30, 40)).save(tmp_path / "a.png")
    assert ImageFolder.open(tmp_path).read("a.png", "grey", 20).pixels.shape == (15, 20)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.jpg", r"empty.jpg is empty \(0 bytes\). Copy it again or remove it."),
        ("text.jpg", "text.jpg is no image that can be read. Remove or convert it."),
        ("cut.jpg", "cut.jpg is damaged: image file is truncated"),
        ("cut.png", "cut.png is damaged"),
        ("none.jpg", "Cannot read .*none.jpg: No such file or directory"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no photo")
    for suffix in ("jpg", "png"):
        Image.fromarray(photo(200, 200)).save(tmp_path / f"whole.{suffix}")
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=message):
        decode(tmp_path / name)


def test_masks_drop_keypoints(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 20:] = 255
    (tmp_path / "sub").mkdir()
    Image.fromarray(mask).save(tmp_path / "sub/a.jpg.png")
    masks = MaskFolder.open(tmp_path)
    keypoints = np.array([[5, 5], [19.4, 29], [19.6, 29], [39, 0]], np.float32)
    assert masks.keeps("sub/a.jpg", keypoints, (40, 30)).tolist() == [False, False, True, True]
    assert masks.keeps("other.jpg", keypoints, (40, 30)).all()
    assert masks.keeps("sub/a.jpg", keypoints[:0], (40, 30)).shape == (0,)
    with pytest.raises(ImageError, match="is 40 x 30 px, its image 80 x 60 px"):
        masks.keeps("sub/a.jpg", keypoints, (80, 60))
    with pytest.raises(ImageError, match="No mask folder"):
        MaskFolder.open(tmp_path / "none")


def test_folders_that_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "out/undistorted/a.png", "masks/a.png.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo()).save(tmp_path / name)
    found = ImageFolder.open(tmp_path, leave_out=(tmp_path / "out", tmp_path / "masks", None))
    assert found.names == ("a.png", "sub/b.png")
