from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from silk_sfm.colmap.assignment import NO_EXIF, assign_cameras, read_exif_focal
from silk_sfm.colmap.cameras import Camera, CameraMode, CameraOptions
from silk_sfm.colmap.intrinsics import KnownCameras
from silk_sfm.errors import ConfigError, ImageError


def photo(
    folder: Path,
    name: str,
    size: tuple[int, int] = (40, 30),
    focal_35mm: int = 0,
    orientation: int = 1,
    focal_mm: float = 0,
) -> None:
    exif = Image.Exif()
    if focal_35mm:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    if focal_mm:
        exif.get_ifd(0x8769)[0x920A] = focal_mm
    if orientation != 1:
        exif[0x0112] = orientation
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, exif=exif)


def groups(folder: Path, names: list[str], mode: CameraMode = "auto") -> list[int]:
    assigned = assign_cameras(folder, names, CameraOptions(camera_mode=mode))
    return [assigned.index_of[name] for name in names]


def test_focal_without_exif_is_a_guess(tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    camera = assign_cameras(tmp_path, ["a.jpg"], CameraOptions())["a.jpg"]
    assert camera.params == (48.0, 20.0, 15.0, 0.0)
    assert (camera.size, camera.focal_from) == ((40, 30), "guess")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_focal_and_raw_size_as_colmap_has_them(tmp_path: Path, orientation: int) -> None:
    photo(tmp_path, "a.jpg", focal_35mm=28, orientation=orientation)
    camera = assign_cameras(tmp_path, ["a.jpg"], CameraOptions(camera_model="OPENCV"))["a.jpg"]
    colmap = pycolmap.infer_camera_from_image(
        tmp_path / "a.jpg", pycolmap.ImageReaderOptions(camera_model="OPENCV")
    )
    assert camera.size == (colmap.width, colmap.height) == (40, 30)
    np.testing.assert_allclose(camera.params, colmap.params)
    assert camera.focal_from == "exif"
    assert colmap.has_prior_focal_length


def test_focal_in_mm_alone_of_an_unknown_sensor_is_a_guess(tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg", focal_mm=5.0)
    assert read_exif_focal(tmp_path / "a.jpg").focal_mm == 5
    camera = assign_cameras(tmp_path, ["a.jpg"], CameraOptions())["a.jpg"]
    assert (camera.focal_from, camera.params[0]) == ("guess", 48.0)


def test_no_exif_in_a_broken_or_plain_file(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    Image.new("L", (4, 3)).save(tmp_path / "plain.png")
    assert read_exif_focal(tmp_path / "broken.jpg") == NO_EXIF
    assert read_exif_focal(tmp_path / "plain.png") == NO_EXIF
    with pytest.raises(ImageError, match=r"broken\.jpg is no image that can be read"):
        assign_cameras(tmp_path, ["broken.jpg"], CameraOptions())


def test_auto_shares_frames_of_one_size(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        photo(tmp_path, name)
    assert groups(tmp_path, ["a/1.jpg", "a/2.jpg", "b/1.jpg"]) == [0, 0, 1]


def test_auto_keeps_a_collection_without_exif_apart(tmp_path: Path) -> None:
    photo(tmp_path, "1.jpg")
    photo(tmp_path, "2.jpg")
    photo(tmp_path, "3.jpg", size=(30, 40))
    assert groups(tmp_path, ["1.jpg", "2.jpg", "3.jpg"]) == [0, 1, 2]


def test_auto_shares_equal_exif(tmp_path: Path) -> None:
    photo(tmp_path, "1.jpg", focal_35mm=28)
    photo(tmp_path, "2.jpg", focal_35mm=28)
    photo(tmp_path, "zoomed.jpg", focal_35mm=50)
    photo(tmp_path, "turned.jpg", size=(30, 40), focal_35mm=28)
    assert groups(tmp_path, ["1.jpg", "2.jpg", "zoomed.jpg", "turned.jpg"]) == [0, 0, 1, 2]


def test_other_modes(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
    photo(tmp_path, "a/1.jpg")
    photo(tmp_path, "a/2.jpg", focal_35mm=28)
    photo(tmp_path, "b/1.jpg", focal_35mm=28)
    assert groups(tmp_path, names, "single") == [0, 0, 0]
    assert groups(tmp_path, names, "per-folder") == [0, 0, 1]
    assert groups(tmp_path, names, "per-image") == [0, 1, 2]
    shared = assign_cameras(tmp_path, names, CameraOptions(camera_mode="single"))
    assert shared["a/1.jpg"].focal_from == "exif"


def test_shared_camera_needs_one_size(tmp_path: Path) -> None:
    photo(tmp_path, "1.jpg")
    photo(tmp_path, "2.jpg", size=(30, 40))
    with pytest.raises(ConfigError) as caught:
        groups(tmp_path, ["1.jpg", "2.jpg"], "single")
    assert str(caught.value) == (
        "Camera mode single: `1.jpg` is 40 x 30 px, `2.jpg` 30 x 40 px. Photos of one camera have "
        "one size; use auto or per-image."
    )


CAMERAS = "# comment\n7 PINHOLE 40 30 50 51 20 15\n9 SIMPLE_PINHOLE 30 40 60 15 20\n"
IMAGES = "1 1 0 0 0 0 0 0 7 a.jpg\n\n"


@pytest.fixture
def two_photos(tmp_path: Path) -> Path:
    photo(tmp_path, "a.jpg")
    photo(tmp_path, "b.jpg", size=(30, 40))
    (tmp_path / "cameras.txt").write_text(CAMERAS)
    return tmp_path


@pytest.mark.parametrize("has_images", [False, True])
@pytest.mark.parametrize("is_folder", [False, True])
def test_intrinsics_by_name_or_size(two_photos: Path, has_images: bool, is_folder: bool) -> None:
    if has_images:
        (two_photos / "images.txt").write_text(IMAGES)
    path = two_photos if is_folder else two_photos / "cameras.txt"
    known = assign_cameras(two_photos, ["b.jpg", "a.jpg"], CameraOptions(intrinsics=path))
    assert known["a.jpg"].params == (50, 51, 20, 15)
    assert known["b.jpg"].model == "SIMPLE_PINHOLE"
    assert known.all_trusted


def test_binary_intrinsics_alone(two_photos: Path) -> None:
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=4, model="PINHOLE", width=40, height=30, params=[50, 51, 20, 15])
    )
    binary = two_photos / "model"
    binary.mkdir()
    model.write_binary(binary)
    for name in ("images.bin", "points3D.bin", "rigs.bin", "frames.bin"):
        (binary / name).unlink()
    for path in (binary, binary / "cameras.bin"):
        known = assign_cameras(two_photos, ["a.jpg"], CameraOptions(intrinsics=path))
        assert known["a.jpg"].params == (50, 51, 20, 15)


def test_name_decides_between_cameras_of_one_size(two_photos: Path) -> None:
    (two_photos / "cameras.txt").write_text(CAMERAS + "8 PINHOLE 40 30 1 1 20 15\n")
    options = CameraOptions(intrinsics=two_photos)
    with pytest.raises(ConfigError, match=r"^`a\.jpg` is 40 x 30 px, and 2 cameras in .* Add an"):
        assign_cameras(two_photos, ["a.jpg"], options)
    (two_photos / "images.txt").write_text(IMAGES)
    assert assign_cameras(two_photos, ["a.jpg"], options)["a.jpg"].params[0] == 50


def test_digest_names_what_decides_an_images_camera() -> None:
    one, other = (Camera("PINHOLE", 640, 480, (f, f, 320.0, 240.0)) for f in (500.0, 700.0))
    small = Camera("PINHOLE", 320, 240, (250.0, 250.0, 160.0, 120.0))
    first = KnownCameras({1: one, 2: other}, {"a.jpg": 1, "b.jpg": 2}).digest
    assert first == KnownCameras({7: other, 3: one}, {"b.jpg": 7, "a.jpg": 3}).digest
    assert first != KnownCameras({1: one, 2: other}, {"a.jpg": 2, "b.jpg": 1}).digest
    by_size = KnownCameras({1: one, 2: small}, {"a.jpg": 1}).digest
    assert by_size == KnownCameras({1: one, 2: small}, {"a.jpg": 1, "later.jpg": 2}).digest


def test_intrinsics_that_do_not_fit(two_photos: Path) -> None:
    photo(two_photos, "c.jpg", size=(20, 10))
    path = two_photos / "cameras.txt"
    with pytest.raises(ConfigError) as caught:
        assign_cameras(two_photos, ["c.jpg"], CameraOptions(intrinsics=path))
    assert str(caught.value) == (
        f"No camera for `c.jpg` (20 x 10 px) in {path}; sizes known: 30 x 40, 40 x 30."
    )
    (two_photos / "images.txt").write_text("1 1 0 0 0 0 0 0 7 c.jpg\n\n")
    with pytest.raises(ConfigError, match=r"^`c\.jpg` is 20 x 10 px, its camera in .* 40 x 30 px"):
        assign_cameras(two_photos, ["c.jpg"], CameraOptions(intrinsics=two_photos))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no camera"),
        ("1 LENS 40 30 1 2 3", "Cannot read intrinsics from"),
        ("1 PINHOLE 40", "Cannot read intrinsics from"),
        ("1 EQUIRECTANGULAR 40 30 40 30", "No camera model `EQUIRECTANGULAR`"),
    ],
)
def test_damaged_intrinsics(tmp_path: Path, content: str, message: str) -> None:
    photo(tmp_path, "a.jpg")
    (tmp_path / "cameras.txt").write_text(content)
    with pytest.raises(ConfigError, match=message):
        assign_cameras(tmp_path, ["a.jpg"], CameraOptions(intrinsics=tmp_path))


def test_missing_intrinsics(tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    with pytest.raises(ConfigError, match=r"^No intrinsics at .*none\. Give cameras\.txt, "):
        assign_cameras(tmp_path, ["a.jpg"], CameraOptions(intrinsics=tmp_path / "none"))


def test_no_images(tmp_path: Path) -> None:
    assert assign_cameras(tmp_path, [], CameraOptions()).cameras == ()
