from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_others import made_weights, recorded, rgb

from silk_sfm.errors import WeightsError
from silk_sfm.extractors.kp2d import Kp2d, Kp2dOptions


def make(folder: Path, **options: object) -> Kp2d:
    path = folder / "kp2d.ckpt"
    torch.save({"state_dict": made_weights("kp2d", "keypointnet")}, path)
    return Kp2d(Kp2dOptions(weights=str(path), **options))  # type: ignore[arg-type]


def test_recorded_evaluation(tmp_path: Path) -> None:
    expected = recorded("kp2d", "keypointnet_64x96")
    found = make(tmp_path, top_k=0)(rgb("astronaut_64x96"))
    points = expected["eval_points_xyp"]
    order = np.lexsort(np.round(points[:, :2], 2).T)
    mine = np.lexsort(np.round(found.keypoints, 2).T)
    np.testing.assert_allclose(found.keypoints[mine], points[order, :2], atol=1e-3)
    np.testing.assert_allclose(found.scores[mine], points[order, 2], atol=1e-4)
    best = make(tmp_path, top_k=20)(rgb("astronaut_64x96"))
    np.testing.assert_allclose(best.keypoints, expected["eval_topk20_points"][::-1], atol=1e-3)
    np.testing.assert_allclose(best.descriptors, expected["eval_topk20_desc"][::-1], atol=1e-4)


@pytest.mark.parametrize("version", ["v0", "v1", "v4"])
def test_recorded_descriptors_of_versions(tmp_path: Path, version: str) -> None:
    expected = recorded("kp2d", "keypointnet_64x96")
    places = expected[f"{version}_coord"][0].reshape(2, -1).T
    described = make(tmp_path, version=version).describe(rgb("astronaut_64x96"), places.copy())
    np.testing.assert_allclose(
        described.T, expected[f"{version}_feat"][0].reshape(256, -1), atol=1e-4
    )


def test_sides_that_are_no_multiple_of_eight(tmp_path: Path) -> None:
    kp2d, image = make(tmp_path, top_k=0), rgb("astronaut_64x96")[:61, :93]
    found = kp2d(image.copy())
    assert len(found) > 40
    assert (found.keypoints < [93, 61]).all() and found.image_size == (93, 61)


@pytest.mark.parametrize("width", [73, 74, 75])
def test_no_keypoint_beyond_the_last_pixel(tmp_path: Path, width: int) -> None:
    """Shifts by a whole cell reach beyond an image whose last cell is mostly padding."""
    kp2d = make(tmp_path, top_k=0)
    kp2d.network.convPb.bias.data.fill_(5.0)
    found = kp2d(rgb("astronaut_64x96")[:, :width].copy())
    assert len(found) > 20
    assert (found.keypoints <= [width - 0.5, 63.5]).all()


def test_exact_sampling_is_close_to_the_trained_one(tmp_path: Path) -> None:
    image = rgb("astronaut_64x96")
    middle = np.array([[47.5, 31.5]], np.float32)  # where both are the same place
    original = make(tmp_path).describe(image, middle)
    exact = make(tmp_path, sampling="half-pixel").describe(image, middle)
    np.testing.assert_allclose(exact, original, atol=1e-5)
    corner = np.array([[3.0, 3.0]], np.float32)
    assert not np.allclose(
        make(tmp_path).describe(image, corner),
        make(tmp_path, sampling="half-pixel").describe(image, corner),
        atol=1e-3,
    )


def test_the_version_names_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILK_SFM_CACHE", str(tmp_path))
    (tmp_path / "kp2d-v2.ckpt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"kp2d-v2\.ckpt: expected .* found an empty file"):
        Kp2d(Kp2dOptions(version="v2"))
