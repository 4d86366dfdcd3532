from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from many_view_scene import GUESS, SIZE, TRUE, many_view_scene
from PIL import Image
from shared_data import shared

from silk_sfm.colmap.cameras import Camera
from silk_sfm.colmap.database import write_database
from silk_sfm.colmap.mapping import MappingOptions, run_mapper
from silk_sfm.colmap.model import (
    Model,
    ModelSummary,
    Points,
    read_model,
    summarise,
    undistort,
    write_points_ply,
)
from silk_sfm.errors import ReconstructionError
from silk_sfm.images import image_size

SCENE = many_view_scene(n_images=4, n_points=120)

TEXT_MODEL = {
    "cameras.txt": "1 PINHOLE 100 80 50 50 50 40\n",
    # seen at (50, 40) + 50 * (0.2, 0) in both; the second photo notes it 1 px off
    "images.txt": (
        "1 1 0 0 0 0 0 0 1 a.jpg\n60 40 1\n2 0 0 0 1 1 2 3 1 dir/b.jpg\n60 41 1\n"
        "3 1 0 0 0 0 0 0 1 unseen.jpg\n\n"
    ),
    "points3D.txt": "1 1 0 5 10 20 30 -1 1 0 2 0\n",
}


def text_model(folder: Path) -> Path:
    for name, content in TEXT_MODEL.items():
        (folder / name).write_text(content)
    return folder


def mapped(folder: Path, camera: Camera = TRUE, colour: tuple[int, int, int] = (9, 8, 7)) -> Path:
    """A model of the scene with photos of one colour; returns the folder of the model."""
    (folder / "images").mkdir(parents=True)
    for name in SCENE.names:
        Image.new("RGB", SIZE, colour).save(folder / "images" / name, quality=100)
    keypoints = SCENE.keypoints.__getitem__
    cameras, pairs = SCENE.cameras(camera), SCENE.pairs("fundamental")
    write_database(folder / "d.db", SCENE.names, cameras, keypoints, pairs)
    fixed = camera.trusted
    result = run_mapper(folder / "d.db", folder / "images", folder, MappingOptions(), fixed)
    return result.model_dir


def test_text_model_known_answer(tmp_path: Path) -> None:
    model = read_model(text_model(tmp_path))
    assert model.names == ["a.jpg", "dir/b.jpg", "unseen.jpg"]
    half_turn = model.poses["dir/b.jpg"]
    np.testing.assert_allclose(half_turn.rotation, np.diag([-1, -1, 1]), atol=1e-12)
    np.testing.assert_allclose(half_turn.translation, [1, 2, 3])
    np.testing.assert_allclose(half_turn.centre, [1, 2, -3])
    assert model.cameras["a.jpg"] == Camera("PINHOLE", 100, 80, (50, 50, 50, 40))
    np.testing.assert_array_equal(model.points.xyz, [[1, 0, 5]])
    np.testing.assert_array_equal(model.points.colours, [[10, 20, 30]])
    np.testing.assert_array_equal(model.points.track_lengths, [2])


def test_errors_are_computed_anew(tmp_path: Path) -> None:
    """b sees the point at 50 * (0, 2) / 8 + (50, 40), and noted (60, 41)."""
    noted, seen = np.array([60, 41]), np.array([50.0, 40 + 50 * 2 / 8])
    model = read_model(text_model(tmp_path))
    assert model.points.errors[0] == pytest.approx(np.linalg.norm(noted - seen) / 2)


def test_summary() -> None:
    points = Points(
        np.zeros((2, 3)), np.zeros((2, 3), np.uint8), np.array([0.5, 1.5]), np.array([2, 5])
    )
    assert summarise(Model({}, {}, points)) == ModelSummary(0, 2, 7, 3.5, 1.0)
    none = Points(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0), np.zeros(0, np.int64))
    assert summarise(Model({}, {}, none)) == ModelSummary(0, 0, 0, 0.0, 0.0)


def test_model_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match=r"^No COLMAP model in .*nowhere"):
        read_model(tmp_path / "nowhere")
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 4")
    with pytest.raises(ReconstructionError, match=r"^COLMAP model .* cannot be used: "):
        read_model(tmp_path)


def test_colours_come_from_the_photos(tmp_path: Path) -> None:
    model = read_model(mapped(tmp_path, colour=(200, 100, 50)))
    assert len(model.points) > 100
    assert np.abs(model.points.colours.astype(int) - [200, 100, 50]).max() <= 2


def test_ply_bytes(tmp_path: Path) -> None:
    points = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 1e6]])
    colours = np.array([[1, 2, 3], [255, 0, 9]], np.uint8)
    write_points_ply(points, colours, tmp_path / "points.ply")
    header, data = (tmp_path / "points.ply").read_bytes().split(b"end_header\n")
    assert header.decode().splitlines() == [
        "ply",
        "format binary_little_endian 1.0",
        "element vertex 2",
        "property float x",
        "property float y",
        "property float z",
        "property uchar red",
        "property uchar green",
        "property uchar blue",
    ]
    rows = np.frombuffer(data, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    np.testing.assert_array_equal(rows["xyz"], points.astype(np.float32))
    np.testing.assert_array_equal(rows["rgb"], colours)
    assert len(list(tmp_path.iterdir())) == 1


def test_ply_without_points_and_with_wrong_colours(tmp_path: Path) -> None:
    write_points_ply(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), tmp_path / "none.ply")
    assert (tmp_path / "none.ply").read_bytes().endswith(b"end_header\n")
    with pytest.raises(TypeError, match="colours has dtype float64, expected uint8"):
        write_points_ply(np.zeros((1, 3)), np.zeros((1, 3)), tmp_path / "bad.ply")


def test_undistort(tmp_path: Path) -> None:
    model_dir = mapped(tmp_path, camera=GUESS)
    out = tmp_path / "undistorted"
    undistort(model_dir, tmp_path / "images", out, max_size=200)
    for sparse in (out / "sparse", out / "sparse" / "0"):
        model = read_model(sparse)
        assert model.names == SCENE.names
        assert {camera.model for camera in model.cameras.values()} == {"PINHOLE"}
    for name in SCENE.names:
        size = image_size(out / "images" / name)
        assert size == model.cameras[name].size
        assert max(size) <= 200
    undistort(model_dir, tmp_path / "images", out)
    assert max(image_size(out / "images" / SCENE.names[0])) > 700
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_undistorted_photos_are_not_turned_by_exif(tmp_path: Path) -> None:
    model_dir = mapped(tmp_path, camera=GUESS)
    photos = tmp_path / "images"
    for name in SCENE.names:
        with Image.open(photos / name) as image:
            exif = Image.Exif()
            exif[0x0112] = 6
            image.load()
            image.save(photos / name, exif=exif)
    undistort(model_dir, photos, tmp_path / "undistorted")
    for name in SCENE.names:
        with Image.open(tmp_path / "undistorted" / "images" / name) as image:
            assert image.getexif().get(0x0112, 1) == 1
            assert image.width > image.height


def test_undistort_needs_all_photos(tmp_path: Path) -> None:
    model_dir = mapped(tmp_path)
    (tmp_path / "images" / SCENE.names[2]).unlink()
    with pytest.raises(ReconstructionError) as caught:
        undistort(model_dir, tmp_path / "images", tmp_path / "undistorted")
    assert str(caught.value) == (
        f"1 of 4 photos of the model are not in {tmp_path / 'images'}, first `view 02.jpg`. Give "
        "the folder that the model was made from."
    )
    assert not (tmp_path / "undistorted").exists()


def test_real_model() -> None:
    model = read_model(shared("data", "tiny", "gt_sparse"))
    assert len(model.names) == 4
    assert model.cameras["0003.jpg"].params == (689.87, 691.04, 380.1725, 251.7025)
