from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.loftr_indices import read_loftr_index
from silk_sfm.evaluation.plain_pickle import read_npz
from silk_sfm.evaluation.pose import published_key
from silk_sfm.evaluation.pose_pairs import PosePair
from silk_sfm.evaluation.superglue_pairs import read_superglue_pairs
from silk_sfm.geometry.pose import relative_pose

ROTATION = cv2.Rodrigues(np.array([0.1, -0.3, 0.2]))[0]
TRANSLATION = np.array([0.5, -0.25, 1.0])
CAMERA = np.array([[1165.72, 0, 649.095], [0, 1165.74, 484.765], [0, 0, 1]])


def line(a: str = "scene0711_00_frame-001680.jpg", b: str = "scene0711_00_frame-001995.jpg") -> str:
    """As in SuperGlue's scannet_test_pairs_with_gt.txt: padded numbers with five digits."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = ROTATION, TRANSLATION
    numbers = [*CAMERA.ravel(), *CAMERA.ravel(), *pose.ravel()]
    return f"{a} {b} 0 0 " + "  ".join(f"{number:8.5f}" for number in numbers)


def test_superglue_lines(tmp_path: Path) -> None:
    path = tmp_path / "pairs_with_gt.txt"
    yfcc = line("notre_dame/test/images/a.jpg", "notre_dame/test/images/b.jpg")
    path.write_text(f"{line()}\n\n# a remark\n{yfcc}\n")
    first, second = read_superglue_pairs(path)
    assert (first.a, first.b) == ("scene0711_00_frame-001680.jpg", "scene0711_00_frame-001995.jpg")
    assert (first.scene, second.scene) == ("scene0711_00", "notre_dame")
    np.testing.assert_allclose(first.camera_a, CAMERA)
    np.testing.assert_allclose(first.pose[0], ROTATION, atol=1e-5)
    np.testing.assert_allclose(first.pose[1], TRANSLATION)
    assert second.where == f"{path} line 4"
    np.testing.assert_array_equal(first.cameras((10, 10), (20, 20))[1], first.camera_b)


@pytest.mark.parametrize(
    ("name", "scene", "published"),
    [
        ("scans_test/scene0707_00/sens/frame-000015.color.jpg", "scene0707_00", "pose-scannet"),
        ("scene0707_00/color/15.jpg", "scene0707_00", "pose-scannet"),
        ("Undistorted_SfM/0015/images/a.jpg", "Undistorted_SfM", "pose-megadepth"),
        ("reichstag/test/images/a.jpg", "reichstag", ""),
        ("a.jpg", ".", ""),
    ],
)
def test_scenes_are_known_by_names(tmp_path: Path, name: str, scene: str, published: str) -> None:
    (tmp_path / "pairs.txt").write_text(line(name))
    (pair,) = read_superglue_pairs(tmp_path / "pairs.txt")
    assert pair.scene == scene
    assert published_key(name) == published


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line()[:-8], r"line 1 has 37 words, not 38"),
        ("a.jpg b.jpg", r"line 1 has no intrinsics and pose"),
        ("a.jpg b.jpg 0 0", r"give a list `\.\.\._with_gt\.txt`\.$"),
        (line().replace(" 0 0 ", " 1 0 ", 1), "line 1 asks for photos turned by 1 and 0 quarter"),
        (line().replace("484.76500", "nan"), r"line 1: the intrinsics of `scene0711_00_frame-00"),
        (line().replace("484.76500", "12,5"), "line 1: could not convert string to float: '12,5'"),
        (line().replace(" 0.50000", "inf"), r"line 1: the pose is not finite\.$"),
        (line().replace(f"{ROTATION[0, 0]:8.5f}", " 0.50000"), "is no rotation matrix"),
        (line().replace("1165.72000", "-1165.72"), r"are no matrix \[fx s cx; 0 fy cy; 0 0 1\]"),
        (line("a.jpg", "a.jpg"), "line 1: `a.jpg` is paired with itself"),
        ("\n", "is empty"),
    ],
)
def test_faulty_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(text + "\n")
    with pytest.raises(DatasetError, match=message) as caught:
        read_superglue_pairs(path)
    assert str(path) in str(caught.value)


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^No pair list .*missing\.txt\.$"):
        read_superglue_pairs(tmp_path / "missing.txt")


def megadepth() -> dict[str, Any]:
    """Entries as LoFTR's: arrays of objects with None for images that are not used."""
    poses = [np.eye(4), np.eye(4)]
    poses[0][:3, :3], poses[1][:3, 3] = ROTATION, TRANSLATION
    cameras = [CAMERA, CAMERA * [[1.5], [1.5], [1.0]]]
    entries = {
        "image_paths": ["Undistorted_SfM/0015/images/a.jpg", "Undistorted_SfM/0015/images/b.jpg"],
        "depth_paths": ["phoenix/a.h5", "phoenix/b.h5"],
        "intrinsics": cameras,
        "poses": poses,
    }
    columns: dict[str, Any] = {}
    for name, values in entries.items():
        columns[name] = np.full(4, None, object)
        for row, value in zip((0, 2), values, strict=True):
            columns[name][row] = value
    info = (np.array([2, 0]), np.float64(0.25), np.array([873.1, 502.5, 824.9, 573.6]))
    return {**columns, "pair_infos": [info]}


def write_pickle(path: Path, entries: object) -> None:
    """As numpy below 2 wrote it: arrays are made by `numpy.core.multiarray`."""
    data = pickle.dumps(entries, protocol=3)
    path.write_bytes(data.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))


@pytest.mark.parametrize("kind", ["pickle", "npz"])
def test_megadepth_index(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "0015_0.1_0.3.npz"
    if kind == "pickle":
        write_pickle(path, megadepth())
        assert b"numpy.core.multiarray" in path.read_bytes()
    else:
        entries = megadepth()
        entries["pair_infos"] = np.array([*entries["pair_infos"], None], object)[:1]
        np.savez(path, **entries)
    (pair,) = read_loftr_index(path)
    assert (pair.a, pair.b) == (
        "Undistorted_SfM/0015/images/b.jpg",
        "Undistorted_SfM/0015/images/a.jpg",
    )
    assert (pair.scene, pair.where) == ("0015_0.1_0.3", f"{path} pair 0")
    assert pair.camera_a[0, 0] == 1.5 * CAMERA[0, 0]
    true = relative_pose((np.eye(3), TRANSLATION), (ROTATION, np.zeros(3)))
    np.testing.assert_allclose(pair.pose[0], true[0])
    np.testing.assert_allclose(pair.pose[1], true[1])
    assert len(read_loftr_index(tmp_path)) == 1  # the folder of all indices


def write_scannet(folder: Path) -> None:
    names = np.array([[711, 0, 1680, 1995], [711, 0, 0, 15]], np.uint16)
    pose = np.column_stack([ROTATION, TRANSLATION]).ravel().astype(np.float32)
    np.savez(folder / "test.npz", name=names, rel_pose=np.stack([pose, pose]))
    small = CAMERA * np.array([[640 / 1296], [480 / 968], [1]])
    np.savez(folder / "intrinsics.npz", scene0711_00=small)


def test_scannet_index(tmp_path: Path) -> None:
    """Its intrinsics count 640 x 480; scaled to the files they are SuperGlue's again."""
    write_scannet(tmp_path)
    for path in (tmp_path, tmp_path / "test.npz"):
        first, second = read_loftr_index(path)
        assert first.a == "scene0711_00/color/1680.jpg"
        assert second.b == "scene0711_00/color/15.jpg"
        np.testing.assert_allclose(first.pose[0], ROTATION, atol=1e-6)
        for camera in first.cameras((1296, 968), (1296, 968)):
            np.testing.assert_allclose(camera, CAMERA)
        np.testing.assert_allclose(first.cameras((640, 480), (640, 480))[0], first.camera_a)


def test_faulty_indices_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(DatasetError, match=r"^No \.npz index in "):
        read_loftr_index(tmp_path)
    with pytest.raises(DatasetError, match=r"^No file .*x\.npz\.$"):
        read_loftr_index(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DatasetError, match=r"is no index of MegaDepth .* it holds other\.$"):
        read_loftr_index(path)
    np.savez(path, name=np.zeros((2, 3)), rel_pose=np.zeros((2, 12)))
    with pytest.raises(DatasetError, match=r"^No file .*intrinsics\.npz\.$"):
        read_loftr_index(path)
    np.savez(tmp_path / "intrinsics.npz", scene0000_00=CAMERA)
    with pytest.raises(DatasetError, match=r"`name` has the shape \(2, 3\)"):
        read_loftr_index(path)
    np.savez(path, name=np.ones((1, 4), int), rel_pose=np.zeros((1, 12)))
    with pytest.raises(DatasetError, match=r"pair 0: intrinsics\.npz has no entry `scene0001_01`"):
        read_loftr_index(path)
    entries = megadepth()
    write_pickle(path, {**entries, "pair_infos": [((2, 9), 0.2)]})
    with pytest.raises(DatasetError, match=r"x\.npz pair 0 is malformed: index 9"):
        read_loftr_index(path)
    write_pickle(path, {**entries, "pair_infos": [((1, 0), 0.2)]})
    with pytest.raises(DatasetError, match="pair 0 is malformed"):
        read_loftr_index(path)
    entries["intrinsics"][0] = CAMERA * np.nan
    write_pickle(path, entries)
    with pytest.raises(DatasetError, match=r"pair 0: the intrinsics of `.*a\.jpg` are not finite"):
        read_loftr_index(path)
    del entries["poses"]
    write_pickle(path, entries)
    with pytest.raises(DatasetError, match=r"x\.npz lacks poses\.$"):
        read_loftr_index(path)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('pathlib').Path('exploded').touch()",)


def test_pickles_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.npz"
    path.write_bytes(pickle.dumps({"pair_infos": Bomb()}))
    message = "it names builtins.eval, which is no array"
    with pytest.raises(DatasetError, match=message):
        read_npz(path)
    np.savez(path, pair_infos=np.array([Bomb(), None], object))
    with pytest.raises(DatasetError, match=message):
        read_npz(path)
    assert not Path("exploded").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    np.savez(path, name=np.zeros(1000))
    whole = path.read_bytes()
    for cut in (b"", b"plain text", whole[: len(whole) // 2]):
        path.write_bytes(cut)
        with pytest.raises(DatasetError, match=r"cut\.npz is no \.npz file that can be read"):
            read_npz(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DatasetError, match=r"cut\.npz holds a list, not named arrays\.$"):
        read_npz(path)


def test_a_pair_checks_itself() -> None:
    with pytest.raises(DatasetError, match=r"^list: the rotation of the pose is no rotation"):
        PosePair("a", "b", CAMERA, CAMERA, (-np.eye(3), TRANSLATION), "", "list")
