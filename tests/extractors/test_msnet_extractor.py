from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from recorded_others import made_weights, recorded, rgb

from silk_sfm.errors import WeightsError
from silk_sfm.extractors.msnet import MsNet, MsNetOptions


def make(folder: Path, **options: object) -> MsNet:
    path = folder / "msnet.pth"
    torch.save(made_weights("msnet", "msnet_v0"), path)
    return MsNet(MsNetOptions(weights=str(path), **options))  # type: ignore[arg-type]


def test_recorded_descriptors(tmp_path: Path) -> None:
    expected = recorded("msnet", "msnet_v0_96x128")
    msnet = make(tmp_path, sampling="original")
    described = msnet.describe(rgb("astronaut_96x128"), expected["keypoints_xy"])
    np.testing.assert_allclose(described, expected["sampled"], atol=1e-5)


def test_corners_lie_on_the_corners_of_a_square(tmp_path: Path) -> None:
    """The edges of a square of the pixels 20..39 lie at 19.5 and 39.5."""
    image = np.full((60, 64, 3), 0.2, np.float32)
    image[20:40, 20:40] = 0.8
    found = make(tmp_path, top_k=4)(cv2.GaussianBlur(image, (0, 0), 1.0))
    corners = sorted(found.keypoints.tolist())
    inside = 1.0  # a blurred corner is found a little inside of it
    expected = [
        (a, b) for a in (19.5 + inside, 39.5 - inside) for b in (19.5 + inside, 39.5 - inside)
    ]
    np.testing.assert_allclose(corners, expected, atol=0.51)
    np.testing.assert_allclose(np.mean(corners, axis=0), [29.5, 29.5], atol=1e-6)


def test_describes_its_own_keypoints_as_itself(tmp_path: Path) -> None:
    msnet, image = make(tmp_path), rgb("astronaut_96x128")
    found = msnet(image)
    assert len(found) > 20
    np.testing.assert_array_equal(msnet.describe(image, found.keypoints), found.descriptors)


def test_there_are_no_published_weights() -> None:
    with pytest.raises(WeightsError) as error:
        MsNet(MsNetOptions())
    assert str(error.value) == (
        "MSNet has no published weights. Train it (`silk-sfm train PHOTOS FOLDER --config "
        "train_msnet`) and give the file: --weights FOLDER/weights.safetensors (`weights` "
        "in a recipe)."
    )
