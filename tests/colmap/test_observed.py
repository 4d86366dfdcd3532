"""What each image sees of a model: rows, pixels and errors, against a model that is known."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from silk_sfm.colmap.model import read_model, summarise
from silk_sfm.colmap.observed import read_observations
from silk_sfm.errors import ReconstructionError

CAMERA = pycolmap.Camera(
    camera_id=1, model="PINHOLE", width=100, height=80, params=[50, 50, 50, 40]
)


def write_two_views(folder: Path) -> None:
    """Image a sees points 0 and 1 with its keypoints 2 and 0, 3 px and 0 px beside them."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(CAMERA)
    keypoints = {"a.jpg": [[75.0, 40], [1, 1], [50, 43]], "b.jpg": [[50.0, 40], [75, 40]]}
    for number, (name, xy) in enumerate(keypoints.items(), start=1):
        image = pycolmap.Image(
            name=name, camera_id=1, image_id=number, keypoints=np.array(xy, np.float64)
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    for xyz, rows in (([0, 0, 2], (2, 0)), ([1, 0, 2], (0, 1))):
        track = pycolmap.Track([pycolmap.TrackElement(i + 1, row) for i, row in enumerate(rows)])
        model.add_point3D(np.array(xyz, np.float64), track, np.zeros(3, np.uint8))
    model.write_binary(folder)


def test_rows_pixels_and_errors(tmp_path: Path) -> None:
    write_two_views(tmp_path)
    found = read_observations(tmp_path)
    assert list(found) == ["a.jpg", "b.jpg"]
    a = found["a.jpg"]
    assert a.rows.tolist() == [0, 2]
    assert a.pixels.tolist() == [[74.5, 39.5], [49.5, 42.5]]  # COLMAP's origin is half a pixel off
    assert a.errors.tolist() == [0, 3]
    assert a.n_keypoints == 3
    assert found["b.jpg"].errors.tolist() == [0, 0]


def test_errors_are_those_that_the_model_is_summed_up_with(tmp_path: Path) -> None:
    write_two_views(tmp_path)
    numbers = summarise(read_model(tmp_path))
    assert numbers.reprojection_error == pytest.approx((3 + 0) / 2 / 2)
    assert numbers.n_observations == sum(len(s.rows) for s in read_observations(tmp_path).values())


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match=r"^No COLMAP model in "):
        read_observations(tmp_path)
