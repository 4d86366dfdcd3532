from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from many_view_scene import SIZE, TRUE, many_view_scene

from silk_sfm.colmap.cameras import CameraAssignment
from silk_sfm.colmap.database import write_database
from silk_sfm.colmap.mapping import MappingOptions, run_mapper
from silk_sfm.colmap.trimming import trimmed
from silk_sfm.errors import ReconstructionError

SCENE = many_view_scene(n_images=6, n_points=200)
LEAST = 15


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Every photo with a camera of its own."""
    cameras = CameraAssignment((TRUE,) * 6, {name: i for i, name in enumerate(SCENE.names)})
    path = tmp_path / "d.db"
    write_database(
        path, SCENE.names, cameras, SCENE.keypoints.__getitem__, SCENE.pairs("essential")
    )
    return path


@pytest.fixture
def model(database: Path, tmp_path: Path) -> pycolmap.Reconstruction:
    run_mapper(database, tmp_path, tmp_path, MappingOptions(), True)
    return pycolmap.Reconstruction(str(tmp_path / "sparse" / "0"))


def options(refined: bool = True) -> pycolmap.IncrementalPipelineOptions:
    return pycolmap.IncrementalPipelineOptions(
        min_num_matches=LEAST, ba_refine_focal_length=refined
    )


def registered(model: pycolmap.Reconstruction) -> list[str]:
    return sorted(model.images[image_id].name for image_id in model.reg_image_ids())


def blind(model: pycolmap.Reconstruction, name: str, left: int) -> None:
    """The photo sees so many points only."""
    observations = pycolmap.ObservationManager(model)
    image = model.find_image_with_name(name)
    for index in image.get_observation_point2D_idxs()[left:]:
        observations.delete_observation(image.image_id, index)


def break_camera(model: pycolmap.Reconstruction, name: str) -> None:
    model.find_image_with_name(name).camera.params = np.array([-9e4, 400.0, 300.0, -604.0])


def test_a_good_model_stays_as_it_is(model: pycolmap.Reconstruction, database: Path) -> None:
    blind(model, SCENE.names[2], LEAST)
    before = model.num_points3D(), model.compute_num_observations()
    assert trimmed([model], options(), database) == [model]
    assert registered(model) == SCENE.names
    assert (model.num_points3D(), model.compute_num_observations()) == before


def test_photos_that_see_too_little_go(model: pycolmap.Reconstruction, database: Path) -> None:
    blind(model, SCENE.names[2], LEAST - 1)
    blind(model, SCENE.names[4], 0)
    trimmed([model], options(), database)
    assert registered(model) == [SCENE.names[i] for i in (0, 1, 3, 5)]
    assert model.num_points3D() == 200


def test_absurd_cameras_go_with_their_photos(
    model: pycolmap.Reconstruction, database: Path, tmp_path: Path
) -> None:
    break_camera(model, SCENE.names[1])
    trimmed([model], options(), database)
    assert SCENE.names[1] not in registered(model)
    camera = model.find_image_with_name(SCENE.names[1]).camera
    np.testing.assert_array_equal(camera.params, TRUE.params)  # again valid for who reads it
    assert (camera.width, camera.height) == SIZE
    model.write_binary(str(tmp_path))
    again = pycolmap.Reconstruction(str(tmp_path))
    assert registered(again) == registered(model)


def test_known_intrinsics_are_never_absurd(model: pycolmap.Reconstruction, database: Path) -> None:
    model.find_image_with_name(SCENE.names[1]).camera.params = np.array([9e4, 400.0, 300.0, 3.0])
    trimmed([model], options(refined=False), database)
    assert registered(model) == SCENE.names


def test_photos_that_only_a_lost_one_held_go_too(
    model: pycolmap.Reconstruction, database: Path
) -> None:
    """Two photos share points with each other alone; one of them goes, then the other."""
    observations = pycolmap.ObservationManager(model)
    pair = [model.find_image_with_name(name).image_id for name in SCENE.names[:2]]
    for point_id, point in list(model.points3D.items()):
        elements = [(element.image_id, element.point2D_idx) for element in point.track.elements]
        kept = pair if point_id % 2 else [i for i in model.images if i not in pair]
        for image_id, index in elements:
            if image_id not in kept:
                observations.delete_observation(image_id, index)
    break_camera(model, SCENE.names[0])
    trimmed([model], options(), database)
    assert registered(model) == SCENE.names[2:]


def test_a_model_of_one_photo_is_none(model: pycolmap.Reconstruction, database: Path) -> None:
    for name in SCENE.names[1:]:
        break_camera(model, name)
    assert trimmed([model], options(), database) == []


def test_the_global_mapper_registers_no_photo_without_points(tmp_path: Path) -> None:
    """One photo is matched to points that it does not show; the mapper still gives it a pose."""
    scene = many_view_scene(n_images=6, n_points=200)
    random = np.random.default_rng(0)
    lost = scene.names[3]
    scene.keypoints[lost] = random.uniform(0, SIZE, (200, 2)).astype(np.float32)
    path, fixed = tmp_path / "d.db", scene.cameras(TRUE)
    write_database(path, scene.names, fixed, scene.keypoints.__getitem__, scene.pairs("essential"))
    found = run_mapper(path, tmp_path, tmp_path, MappingOptions(mapper="global"), True)
    assert found.model.names == [name for name in scene.names if name != lost]


def test_nothing_left_is_no_model(database: Path, tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="made no model"):
        run_mapper(
            database, tmp_path, tmp_path, MappingOptions(min_matches=201, mapper="global"), True
        )
