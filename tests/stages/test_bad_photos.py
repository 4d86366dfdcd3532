"""Photos that cannot be used are skipped and listed; unusual ones are taken as they are."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from in_process import Outcome, silk_sfm
from PIL import Image
from small_extraction import extract

from silk_sfm.images import image_size
from silk_sfm.store import FeatureStore


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---------- photos ----------


def test_unusable_photos_are_skipped_and_listed(inputs: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(inputs / "photos", photos)
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("this is no photo")
    save(photos / "whole.jpg", noise(120, 160))
    (photos / "cut.jpg").write_bytes((photos / "whole.jpg").read_bytes()[:6000])
    save(photos / "flat.png", np.full((60, 80, 3), 128, np.uint8))
    save(photos / "one.png", noise(1, 1))
    save(photos / "six.png", noise(6, 6))
    save(photos / "ten.png", noise(10, 10))
    done = extract(inputs, photos, tmp_path / "f.h5")
    assert done.status == 3
    assert done.out.startswith("extract: 6 images, 4")
    assert done.out.endswith(f" each), 5 skipped -> {tmp_path}/f.h5\n")
    lines = done.err.splitlines()
    assert lines[0].startswith(f"skipped cut.jpg: {photos}/cut.jpg is damaged: image file is trunc")
    assert lines[0].endswith(". Copy it again or remove it.")
    small = (
        "is smaller than the 7 x 7 px that SiLK sees at once; leave the image out or enlarge it."
    )
    assert lines[1:] == [
        f"skipped empty.jpg: {photos}/empty.jpg is empty (0 bytes). Copy it again or remove it.",
        f"skipped one.png: one.png: 1 x 1 px {small}",
        f"skipped six.png: six.png: 6 x 6 px {small}",
        f"skipped text.jpg: {photos}/text.jpg is no image that can be read. Remove or convert it.",
    ]
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.names == [
            "000.png",
            "001.png",
            "002.png",
            "flat.png",
            "ten.png",
            "whole.jpg",
        ]
        assert store.count("flat.png") == 0  # one colour: nothing to see, and no error
        assert store["flat.png"].image_size == (80, 60)
        assert 0 < store.count("ten.png") <= 16
    again = extract(inputs, photos, tmp_path / "f.h5")  # what is broken stays broken, and listed
    assert again.out == f"extract: 6 images, 6 of them reused, 5 skipped -> {tmp_path}/f.h5\n"
    assert (again.status, again.err) == (3, done.err)
    quiet = extract(inputs, photos, tmp_path / "f.h5", "-q")
    assert (quiet.status, quiet.out, quiet.err) == (3, "", done.err)


def test_a_repaired_photo_is_taken(inputs: Path, tmp_path: Path) -> None:
    shutil.copytree(inputs / "photos", tmp_path / "photos")
    (tmp_path / "photos/000.png").write_bytes(b"")
    assert extract(inputs, tmp_path / "photos", tmp_path / "f.h5").status == 3
    shutil.copy(inputs / "photos/000.png", tmp_path / "photos")
    done = extract(inputs, tmp_path / "photos", tmp_path / "f.h5")
    assert done == Outcome(
        0,
        f"extract: 3 images, 2 of them reused, 100 keypoints (100 each) -> {tmp_path / 'f.h5'}\n",
        "",
    )


def test_nothing_usable_at_all(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"")
    done = extract(inputs, tmp_path / "photos", tmp_path / "f.h5")
    assert (done.status, done.out) == (3, f"extract: 0 images, 2 skipped -> {tmp_path}/f.h5\n")
    assert silk_sfm("pairs", tmp_path / "f.h5", tmp_path / "p.txt").err == (
        "silk-sfm pairs: error: No pairs from 0 images. Give at least two images.\n"
    )
    weights = ["--extractor.weights", inputs / "micro.safetensors", "--device", "cpu"]
    done = silk_sfm("reconstruct", tmp_path / "photos", tmp_path / "out", *weights)
    assert done.status == 1
    assert done.out.startswith("extract: 0 images, 2 skipped [")
    for name in ("a.jpg", "b.jpg"):
        assert f"skipped {name}: {tmp_path}/photos/{name} is empty (0 bytes)." in done.err
    assert done.err.endswith(
        f"silk-sfm reconstruct: error: Only 0 of 2 images in {tmp_path}/photos can be used. A "
        "model needs at least two.\n"
    )


def test_more_than_179_million_pixels_are_no_attack(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "large.png")
    assert image_size(tmp_path / "large.png") == (20_000, 10_000)


def test_a_file_name_that_is_no_utf_8(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = silk_sfm("extract", tmp_path, tmp_path / "f.h5")
    assert done.err == (
        "silk-sfm extract: error: The file name b'caf\\xe9.jpg' is no UTF-8 and cannot be stored. "
        "Rename it.\n"
    )


def test_masks_that_fit_no_image(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    done = extract(inputs, inputs / "photos", tmp_path / "f.h5", "--masks", tmp_path / "masks")
    assert done.status == 1
    assert f"No mask in {tmp_path}/masks fits an image: the mask of `000.png` is named" in done.err


def test_names_with_spaces_dots_and_other_letters(inputs: Path, tmp_path: Path) -> None:
    photos = tmp_path / "my photos"
    names = [
        "a..b.png",
        "folder with spaces/ü ñ 写真.png",
        "keypoints/x.png",
        "sub/keypoints/y.png",
    ]
    for name in names:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(inputs / "photos/000.png", photos / name)
    store, matches = tmp_path / "my store.h5", tmp_path / "m.h5"
    assert extract(inputs, photos, store).status == 0
    with FeatureStore(store) as features:
        assert features.names == names
    done = silk_sfm("pairs", store, tmp_path / "p.txt")
    assert done.out == f"pairs: 6 pairs of 4 images -> {tmp_path}/p.txt\n"
    assert "a..b.png\tfolder with spaces/ü ñ 写真.png\n" in (tmp_path / "p.txt").read_text("utf-8")
    flags = ["--matcher", "mutual", "--device", "cpu"]
    done = silk_sfm("match", store, tmp_path / "p.txt", matches, *flags)
    assert done.out == f"match: 6 pairs, 600 matches (100 each) -> {matches}\n"
    done = silk_sfm("verify", store, matches, tmp_path / "v.h5", "--model", "homography")
    assert done.out == f"verify: 6 pairs, 600 inliers (100 each) -> {tmp_path}/v.h5\n"
    for name in ("my store.h5", "m.h5"):
        assert silk_sfm("pack", tmp_path / name).status == 0
    with FeatureStore(store) as features:
        assert features.names == names


def test_masks(inputs: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    right_half = np.repeat(np.where(np.arange(160) < 80, 0, 255)[None], 120, axis=0)
    save(masks / "000.png.png", right_half.astype(np.uint8))
    save(masks / "001.png.png", np.zeros((120, 160), np.uint8))
    done = extract(inputs, inputs / "photos", tmp_path / "f.h5", "--masks", masks)
    assert done.status == 0
    with FeatureStore(tmp_path / "f.h5") as store, FeatureStore(inputs / "f.h5") as whole:
        assert store.count("001.png") == 0
        assert store.count("002.png") == 100  # has no mask
        everything = whole.keypoints("000.png")
        expected = everything[np.rint(everything[:, 0]) >= 80]
        np.testing.assert_array_equal(store.keypoints("000.png"), expected)
    save(masks / "002.png.png", np.zeros((60, 80), np.uint8))
    done = extract(inputs, inputs / "photos", tmp_path / "f2.h5", "--masks", masks)
    assert done.status == 3
    assert done.err == (
        f"skipped 002.png: Mask {masks}/002.png.png is 80 x 60 px, its image 160 x 120 px (before "
        "any EXIF rotation). Make them equal.\n"
    )


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("none", "No folder {}. Give the folder that holds the photos."),
        (
            "empty",
            "No image in {} or below it. Known kinds: .bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, "
            ".tiff, .webp.",
        ),
    ],
)
def test_no_photos(inputs: Path, tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    path = tmp_path / folder
    done = extract(inputs, path, tmp_path / "f.h5")
    assert done == Outcome(1, "", f"silk-sfm extract: error: {message.format(path)}\n")
    assert not (tmp_path / "f.h5").exists()
