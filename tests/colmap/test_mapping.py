from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import pycolmap
import pytest
from many_view_scene import GUESS, TRUE, ManyViewScene, many_view_scene

from silk_sfm.colmap.cameras import Camera, CameraAssignment
from silk_sfm.colmap.database import VerifiedPair, write_database
from silk_sfm.colmap.mapping import (
    Mapper,
    MappingOptions,
    MappingResult,
    run_mapper,
)
from silk_sfm.colmap.model import Model, summarise
from silk_sfm.errors import ConfigError, ReconstructionError
from silk_sfm.features import GeometryKind
from silk_sfm.geometry.pose import align_similarity, pair_errors

MAPPERS = get_args(Mapper)
SCENE = many_view_scene(n_images=6, n_points=200)


def run(
    folder: Path,
    scene: ManyViewScene = SCENE,
    camera: Camera = TRUE,
    kind: GeometryKind = "fundamental",
    options: MappingOptions | None = None,
) -> MappingResult:
    options = options or MappingOptions()
    cameras = scene.cameras(camera)
    keypoints = scene.keypoints.__getitem__
    write_database(folder / "d.db", scene.names, cameras, keypoints, scene.pairs(kind))
    fixed = options.fixes_intrinsics(cameras)
    return run_mapper(folder / "d.db", folder / "images", folder / "out", options, fixed)


def largest_error(model: Model, scene: ManyViewScene = SCENE) -> float:
    """Degrees, over all pairs; infinite when an image is missing."""
    poses = {name: (pose.rotation, pose.translation) for name, pose in model.poses.items()}
    return float(pair_errors(poses, scene.poses).largest.max())


@pytest.mark.parametrize("mapper", MAPPERS)
@pytest.mark.parametrize("kind", ["essential", "fundamental"])
def test_known_intrinsics_give_the_exact_scene(
    tmp_path: Path, mapper: Mapper, kind: GeometryKind
) -> None:
    result = run(tmp_path, kind=kind, options=MappingOptions(mapper=mapper))
    model = result.model
    assert model.names == SCENE.names
    assert largest_error(model) < 2e-3
    assert {camera.params for camera in model.cameras.values()} == {TRUE.params}
    assert summarise(model).n_points == 200
    assert summarise(model).reprojection_error < 1e-3
    true_centres = np.array([-rotation.T @ t for rotation, t in SCENE.poses.values()])
    centres = np.array([pose.centre for pose in model.poses.values()])
    aligned = align_similarity(centres, true_centres).apply(centres)
    np.testing.assert_allclose(aligned, true_centres, atol=1e-3)


def test_joined_groups_are_as_exact_as_one(tmp_path: Path) -> None:
    """Without the adjustment at the end the error of joined groups is several times larger."""
    scene = many_view_scene(n_images=14, n_points=200, noise_px=0.5)
    one = run(tmp_path / "one", scene)
    grouped = MappingOptions(mapper="hierarchical", cluster_images=5, cluster_overlap=3, threads=1)
    joined = run(tmp_path / "joined", scene, options=grouped)
    assert joined.n_images == one.n_images == (14,)
    assert largest_error(joined.model, scene) < 2 * largest_error(one.model, scene)
    errors = [summarise(result.model).reprojection_error for result in (one, joined)]
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


def test_groups_that_share_nothing_stay_models_of_their_own(tmp_path: Path) -> None:
    """Two scenes in one database: whatever the groups, nothing connects them."""
    small, large = many_view_scene(5, seed=1), many_view_scene(8)
    names, keypoints, pairs = side_by_side(small, large)
    cameras = CameraAssignment((TRUE,), dict.fromkeys(names, 0))
    write_database(tmp_path / "d.db", names, cameras, keypoints.__getitem__, pairs)
    options = MappingOptions(
        mapper="hierarchical", min_model_size=3, cluster_images=4, cluster_overlap=3, threads=1
    )
    result = run_mapper(tmp_path / "d.db", tmp_path, tmp_path / "out", options, True)
    assert result.n_images == (8, 5)
    assert result.model.names == large.names


@pytest.mark.parametrize(
    ("mapper", "share"), [("incremental", 0.6), ("hierarchical", 0.6), ("global", 0.9)]
)
def test_false_but_plausible_matches_bend_little(
    tmp_path: Path, mapper: Mapper, share: float
) -> None:
    """In every photo another eighth of the points is seen 3.5 px aside: COLMAP's filter keeps it.

    The global mapper's own loss is robust, too.
    """
    scene = many_view_scene(n_images=8, n_points=300, noise_px=0.1)
    for index, xy in enumerate(scene.keypoints.values()):
        xy[index::8, 0] += 3.5
    robust, plain = (
        run(tmp_path / str(on), scene, options=MappingOptions(mapper=mapper, robust=on, threads=1))
        for on in (True, False)
    )
    assert largest_error(robust.model, scene) < share * largest_error(plain.model, scene)


@pytest.mark.parametrize("mapper", MAPPERS)
def test_guessed_focal_is_refined(tmp_path: Path, mapper: Mapper) -> None:
    result = run(tmp_path, camera=GUESS, options=MappingOptions(mapper=mapper))
    focal = result.model.cameras[SCENE.names[0]].params[0]
    assert focal == pytest.approx(600, abs=0.5)
    assert largest_error(result.model) < 0.02


@pytest.mark.parametrize("mapper", MAPPERS)
def test_wrong_intrinsics_stay_when_they_are_fixed(tmp_path: Path, mapper: Mapper) -> None:
    wrong = Camera("RADIAL", 800, 600, (610.0, 401.0, 299.0, 0.01, 0.002), "intrinsics")
    result = run(tmp_path, camera=wrong, options=MappingOptions(mapper=mapper))
    assert {camera.params for camera in result.model.cameras.values()} == {wrong.params}


def test_refine_is_decided_by_trust_or_by_the_user() -> None:
    known, guess = SCENE.cameras(TRUE), SCENE.cameras(GUESS)
    assert MappingOptions().fixes_intrinsics(known)
    assert not MappingOptions().fixes_intrinsics(guess)
    assert not MappingOptions(refine_intrinsics=True).fixes_intrinsics(known)
    assert MappingOptions(refine_intrinsics=False).fixes_intrinsics(guess)


def test_small_folders_make_a_model(tmp_path: Path) -> None:
    for n_images in (2, 3):
        scene = many_view_scene(n_images=n_images)
        folder = tmp_path / str(n_images)
        assert largest_error(run(folder, scene).model, scene) < 0.01


def test_two_scenes_make_two_models_largest_first(tmp_path: Path) -> None:
    small, large = many_view_scene(3, seed=1), SCENE
    names, keypoints, pairs = side_by_side(small, large)
    cameras = CameraAssignment((TRUE,), dict.fromkeys(names, 0))
    write_database(tmp_path / "d.db", names, cameras, keypoints.__getitem__, pairs)
    options = MappingOptions(min_model_size=3)
    result = run_mapper(tmp_path / "d.db", tmp_path, tmp_path / "out", options, True)
    assert result.n_images == (6, 3)
    assert result.model.names == large.names
    written = sorted(path.name for path in (tmp_path / "out" / "sparse").iterdir())
    assert written == ["0", "1"]
    second = pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "1")
    assert second.num_reg_images() == 3


def side_by_side(
    small: ManyViewScene, large: ManyViewScene
) -> tuple[list[str], dict[str, np.ndarray], Iterator[VerifiedPair]]:
    """Names, keypoints and pairs of two scenes that share nothing; `a` leads names of the first."""
    renamed = {name: f"a {name}" for name in small.names}
    keypoints = {renamed[name]: xy for name, xy in small.keypoints.items()} | large.keypoints
    pairs = chain(
        ((renamed[a], renamed[b], found) for a, b, found in small.pairs("essential")),
        large.pairs("essential"),
    )
    return sorted(keypoints), keypoints, pairs


def test_same_seed_same_model(tmp_path: Path) -> None:
    scene = many_view_scene(6, 150, noise_px=0.5)
    options = MappingOptions(threads=1, seed=3)
    a, b = (run(tmp_path / name, scene, GUESS, options=options).model for name in "ab")
    np.testing.assert_array_equal(a.points.xyz, b.points.xyz)


def test_progress_and_ctrl_c(tmp_path: Path) -> None:
    """An exception in the callback stops the mapper; the older model stays."""
    run(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    seen: list[int] = []

    def stop(n_registered: int) -> None:
        seen.append(n_registered)
        if n_registered == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_mapper(tmp_path / "d.db", tmp_path, tmp_path / "out", MappingOptions(), True, stop)
    assert seen == [2, 3, 4]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("mapper", MAPPERS)
def test_no_model(tmp_path: Path, mapper: Mapper, capfd: pytest.CaptureFixture[str]) -> None:
    scene = many_view_scene(n_images=3, n_points=6)
    with pytest.raises(ReconstructionError) as caught:
        run(tmp_path, scene, options=MappingOptions(mapper=mapper))
    assert str(caught.value) == (
        f"The {mapper} mapper made no model of 3 images, 3 verified pairs and 18 inliers (at most "
        "6 in one pair, min_matches is 15)."
    )
    assert not list((tmp_path / "out").iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mapper", MAPPERS)
def test_quiet_unless_verbose(
    tmp_path: Path,
    mapper: Mapper,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(tmp_path, options=MappingOptions(mapper=mapper))
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.DEBUG, logger="silk_sfm"):
        run(tmp_path, options=MappingOptions(mapper=mapper))
    assert "Loading" in capfd.readouterr().err


def test_missing_database(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="^No database "):
        run_mapper(tmp_path / "d.db", tmp_path, tmp_path / "out", MappingOptions(), True)
    assert not list(tmp_path.iterdir())


def test_options_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"^min_matches must be at least 1, got 0\.$"):
        MappingOptions(min_matches=0)
    with pytest.raises(ConfigError) as caught:
        MappingOptions(cluster_images=2)
    assert str(caught.value) == (
        "cluster_images must be at least 3 and cluster_overlap at least 2, got 2 and 50."
    )
    with pytest.raises(ConfigError, match=r"^seed must be at least 0, got -1\.$"):
        MappingOptions(seed=-1)
