from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from many_view_scene import GUESS, TRUE, ManyViewScene, many_view_scene

from silk_sfm.colmap.cameras import CameraAssignment
from silk_sfm.colmap.database import (
    DatabaseCounts,
    VerifiedPair,
    count,
    fundamental_to_colmap,
    homography_to_colmap,
    write_database,
    write_images,
)
from silk_sfm.errors import ReconstructionError
from silk_sfm.features import GeometryKind, Matches, TwoViewGeometry

SCENE = many_view_scene(n_images=3, n_points=40)


def write(path: Path, scene: ManyViewScene = SCENE, kind: GeometryKind = "fundamental") -> None:
    keypoints = scene.keypoints.__getitem__
    write_database(path, scene.names, scene.cameras(TRUE), keypoints, scene.pairs(kind))


def homogeneous(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.ones(len(points))])


def test_rows_that_mappers_read(tmp_path: Path) -> None:
    write(tmp_path / "database.db")
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        assert [image.name for image in database.read_all_images()] == SCENE.names
        assert (database.num_rigs(), database.num_frames(), database.num_cameras()) == (1, 3, 1)
        assert database.read_camera(1).has_prior_focal_length
        assert database.read_camera(1).params.tolist() == list(TRUE.params)
        keypoints = database.read_keypoints(2)
        row = database.read_two_view_geometry(1, 2)
        raw = database.read_matches(1, 2)
    np.testing.assert_allclose(keypoints, SCENE.keypoints[SCENE.names[1]] + 0.5, atol=1e-4)
    assert keypoints.dtype == np.float32
    assert row.config == pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
    assert row.inlier_matches.dtype == np.uint32
    np.testing.assert_array_equal(row.inlier_matches, np.stack([np.arange(40)] * 2, axis=1))
    np.testing.assert_array_equal(raw, row.inlier_matches)


def test_fundamental_fits_the_keypoints_of_the_database(tmp_path: Path) -> None:
    write(tmp_path / "database.db")
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        a, b = (homogeneous(database.read_keypoints(image_id)) for image_id in (1, 3))
        row = database.read_two_view_geometry(1, 3)
    lines = a @ row.F.T
    distance = (b * lines).sum(axis=1) / np.linalg.norm(lines[:, :2], axis=1)
    np.testing.assert_allclose(distance, 0, atol=2e-4)
    unshifted = a @ SCENE.geometry(SCENE.names[0], SCENE.names[2], "fundamental").matrix.T
    wrong = (b * unshifted).sum(axis=1) / np.linalg.norm(unshifted[:, :2], axis=1)
    assert np.abs(wrong).max() > 0.01


def test_homography_and_fundamental_shift() -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(3, 3))
    a = random.uniform(0, 9, (5, 2))
    moved = homogeneous(a) @ matrix.T
    moved_colmap = homogeneous(a + 0.5) @ homography_to_colmap(matrix).T
    np.testing.assert_allclose(
        moved_colmap[:, :2] / moved_colmap[:, 2:], moved[:, :2] / moved[:, 2:] + 0.5
    )
    b = random.uniform(0, 9, (5, 2))
    before = np.einsum("ni,ij,nj->n", homogeneous(b), matrix, homogeneous(a))
    shifted = fundamental_to_colmap(matrix)
    after = np.einsum("ni,ij,nj->n", homogeneous(b + 0.5), shifted, homogeneous(a + 0.5))
    np.testing.assert_allclose(after, before)


@pytest.mark.parametrize(
    ("kind", "config", "attribute"),
    [
        ("essential", "CALIBRATED", "E"),
        ("fundamental", "UNCALIBRATED", "F"),
        ("homography", "PLANAR_OR_PANORAMIC", "H"),
    ],
)
def test_kinds(tmp_path: Path, kind: GeometryKind, config: str, attribute: str) -> None:
    write(tmp_path / "database.db", kind=kind)
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        row = database.read_two_view_geometry(1, 2)
    assert row.config == getattr(pycolmap.TwoViewGeometryConfiguration, config)
    assert getattr(row, attribute) is not None
    if kind == "essential":
        expected = SCENE.geometry(SCENE.names[0], SCENE.names[1], kind).matrix
        np.testing.assert_allclose(row.E, expected)


def test_pair_against_the_order_of_images(tmp_path: Path) -> None:
    indices = np.array([[1, 2], [3, 4]], np.int32)
    matches = Matches(indices, np.ones(2, np.float32))
    geometry = TwoViewGeometry("essential", np.arange(9.0).reshape(3, 3), matches, 1.0, 2)
    pairs = [(SCENE.names[1], SCENE.names[0], geometry)]
    keypoints = SCENE.keypoints.__getitem__
    write_database(tmp_path / "d.db", SCENE.names, SCENE.cameras(TRUE), keypoints, pairs)
    with pycolmap.Database.open(tmp_path / "d.db") as database:
        row = database.read_two_view_geometry(1, 2)
    np.testing.assert_array_equal(row.inlier_matches, indices[:, ::-1])
    np.testing.assert_array_equal(row.E, geometry.matrix.T)


def test_counts_and_pairs_without_inliers(tmp_path: Path) -> None:
    none = replace(SCENE.geometry(*SCENE.names[:2], "essential"), inliers=Matches.empty())
    pairs = [
        (SCENE.names[0], SCENE.names[1], none),
        (SCENE.names[0], SCENE.names[2], SCENE.geometry(*SCENE.names[::2], "essential")),
    ]
    keypoints = SCENE.keypoints.__getitem__
    written = write_database(tmp_path / "d.db", SCENE.names, SCENE.cameras(GUESS), keypoints, pairs)
    assert written == count(tmp_path / "d.db") == DatabaseCounts(3, 120, 1, 40, 40)
    with pycolmap.Database.open(tmp_path / "d.db") as database:
        assert not database.read_camera(1).has_prior_focal_length


def test_empty_inputs(tmp_path: Path) -> None:
    nothing = CameraAssignment((), {})
    written = write_database(tmp_path / "d.db", [], nothing, SCENE.keypoints.__getitem__, [])
    assert written == DatabaseCounts(0, 0, 0, 0, 0)
    blank = write_database(
        tmp_path / "d.db",
        SCENE.names,
        SCENE.cameras(TRUE),
        lambda name: np.zeros((0, 2), np.float32),
        [],
    )
    assert blank == DatabaseCounts(3, 0, 0, 0, 0)


def test_images_alone(tmp_path: Path) -> None:
    write_images(tmp_path / "d.db", SCENE.names, SCENE.cameras(TRUE))
    assert count(tmp_path / "d.db") == DatabaseCounts(3, 0, 0, 0, 0)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "database.db")
    before = (tmp_path / "database.db").read_bytes()

    def broken_pairs() -> Iterator[VerifiedPair]:
        yield next(SCENE.pairs("essential"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_database(
            tmp_path / "database.db",
            SCENE.names,
            SCENE.cameras(TRUE),
            SCENE.keypoints.__getitem__,
            broken_pairs(),
        )
    assert (tmp_path / "database.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["database.db"]


def test_a_journal_of_the_old_database_is_not_replayed(tmp_path: Path) -> None:
    (tmp_path / "database.db-wal").write_bytes(b"left by a program that was killed")
    write(tmp_path / "database.db")
    assert [path.name for path in tmp_path.iterdir()] == ["database.db"]
    assert count(tmp_path / "database.db").n_pairs == 3


def test_matches_of_another_run_are_refused(tmp_path: Path) -> None:
    few = {name: keypoints[:10] for name, keypoints in SCENE.keypoints.items()}
    with pytest.raises(ReconstructionError) as caught:
        write_database(
            tmp_path / "d.db",
            SCENE.names,
            SCENE.cameras(TRUE),
            few.__getitem__,
            SCENE.pairs("essential"),
        )
    assert str(caught.value) == (
        "Matches of `view 00.jpg` and `view 01.jpg` name keypoints that do not exist (10 and 10). "
        "Features and matches are of different runs: match anew."
    )
    pairs = [("other.jpg", SCENE.names[0], SCENE.geometry(*SCENE.names[:2], "essential"))]
    with pytest.raises(ReconstructionError, match=r"names `other\.jpg`, which has no features"):
        write_database(
            tmp_path / "d.db",
            SCENE.names,
            SCENE.cameras(TRUE),
            SCENE.keypoints.__getitem__,
            pairs,
        )
    assert not list(tmp_path.iterdir())


def test_count_of_a_missing_database(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match=r"^No database .*none\.db\.$"):
        count(tmp_path / "none.db")
