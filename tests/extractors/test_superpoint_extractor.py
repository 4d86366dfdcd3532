from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_others import grey, made_weights, recorded

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.extractors.superpoint import SuperPoint, SuperPointOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.nn.superpoint_detection import Sampling, Suppression

IMAGES = ["astronaut_97x120", "coffee_240x320"]


def weights(folder: Path, layout: str) -> str:
    path = folder / f"{layout}.pth"
    torch.save(made_weights("superpoint", layout), path)
    return str(path)


def close(
    found: LocalFeatures, xy: np.ndarray, scores: np.ndarray, descriptors: np.ndarray
) -> None:
    """The same keypoints in any order; descriptors belong to the first rows of `xy`."""
    place = {tuple(point): row for row, point in enumerate(found.keypoints.tolist())}
    assert set(place) == {tuple(point) for point in xy.tolist()}
    rows = [place[tuple(point)] for point in xy.tolist()]
    np.testing.assert_allclose(found.scores[rows], scores, atol=1e-4)
    np.testing.assert_allclose(found.descriptors[rows[: len(descriptors)]], descriptors, atol=1e-4)


CODES: list[tuple[str, str, Suppression, Sampling]] = [
    ("magicleap", "magicleap", "greedy", "magicleap"),
    ("lightglue", "magicleap", "rounds", "superglue"),
    ("rpautrat", "rpautrat", "rounds", "half-pixel"),
]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize(("code", "layout", "nms", "sampling"), CODES)
def test_recorded_features(
    tmp_path: Path, image: str, code: str, layout: str, nms: Suppression, sampling: Sampling
) -> None:
    options = SuperPointOptions(weights(tmp_path, layout), nms=nms, sampling=sampling, top_k=0)
    found = SuperPoint(options)(grey(image))
    expected = recorded("superpoint", f"{code}_{image}")
    assert (np.diff(found.scores) <= 0).all()
    if code == "magicleap":
        xys = expected["keypoints_xys"]
        close(found, xys[:, :2], xys[:, 2], expected["descriptors_topk"])
        return
    order = expected["desc_index"]
    rest = np.setdiff1d(np.arange(len(expected["scores"])), order)
    order = np.concatenate([order, rest])
    close(found, expected["keypoints"][order], expected["scores"][order], expected["descriptors"])


def test_recorded_best_50(tmp_path: Path) -> None:
    expected = recorded("superpoint", "sampling_coffee_240x320")
    options = SuperPointOptions(weights(tmp_path, "magicleap"), nms="rounds", top_k=50)
    found = SuperPoint(options)(grey("coffee_240x320"))
    np.testing.assert_allclose(found.scores, expected["top50_scores"], atol=1e-4)
    assert {tuple(p) for p in found.keypoints} == {tuple(p) for p in expected["top50_keypoints"]}


def test_describes_its_own_keypoints_as_itself(tmp_path: Path) -> None:
    superpoint = SuperPoint(SuperPointOptions(weights(tmp_path, "rpautrat")))
    image = grey("astronaut_97x120")
    found = superpoint(image)
    described = superpoint.describe(image, found.keypoints)
    np.testing.assert_allclose(described, found.descriptors, atol=1e-6)


def test_windows_change_nothing(tmp_path: Path) -> None:
    path, image = weights(tmp_path, "rpautrat"), grey("coffee_240x320")
    whole = SuperPoint(SuperPointOptions(path, top_k=0))(image)
    windowed = SuperPoint(SuperPointOptions(path, top_k=0, window_pixels=40_000))(image)
    close(windowed, whole.keypoints, whole.scores, whole.descriptors)


def test_less_than_a_cell_is_too_small(tmp_path: Path) -> None:
    superpoint = SuperPoint(SuperPointOptions(weights(tmp_path, "magicleap")))
    with pytest.raises(ImageError) as error:
        superpoint(np.zeros((7, 30), np.float32))
    assert str(error.value) == (
        "30 x 7 px is smaller than the 8 x 8 px of a cell of SuperPoint; leave the image out or "
        "enlarge it."
    )
    with pytest.raises(ImageError, match=r"^SuperPoint needs values in 0\.\.1, got 255\.0 to 255"):
        superpoint(np.full((30, 30), 255, np.float32))
    with pytest.raises(ImageError, match=r"^Keypoints to describe hold NaN or infinity"):
        superpoint.describe(grey("astronaut_97x120"), np.full((1, 2), np.nan, np.float32))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": 1.5}, r"^threshold must lie in \[0, 1\], got 1\.5\.$"),
        ({"nms_radius": -1}, r"^nms_radius must be at least 0, got -1\.$"),
        ({"border": -1}, r"^border must be at least 0, got -1\.$"),
        ({"top_k": -5}, r"^top_k must be at least 0, got -5\.$"),
        ({"window_pixels": 7}, r"^window_pixels must be at least 4096, got 7\.$"),
    ],
)
def test_options_are_checked(options: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SuperPointOptions(**options)  # type: ignore[arg-type]
