"""KP2D's metrics against its recorded results, and empty images."""

from typing import Any

import numpy as np
import pytest
from shared_data import shared

from silk_sfm.evaluation.kp2d_metrics import (
    kp2d_measures,
    matching_score,
    mutual_nearest_l2,
    visible,
)
from silk_sfm.features import LocalFeatures
from silk_sfm.geometry.homography import resized_homography
from silk_sfm.pixels import PixelGrid


def recorded() -> Any:
    return np.load(shared("reference_others", "kp2d", "metrics.npz"))


def features(points: np.ndarray, descriptors: np.ndarray, size: Any) -> LocalFeatures:
    xy, scores = np.ascontiguousarray(points[:, :2]), np.ascontiguousarray(points[:, 2])
    return LocalFeatures(xy, scores, descriptors, (int(size[0]), int(size[1])))


@pytest.mark.parametrize("case", range(5))
def test_as_recorded(case: int) -> None:
    arrays = recorded()
    size = arrays[f"c{case}_image_shape"]
    a = features(arrays[f"c{case}_prob"], arrays[f"c{case}_desc"], size)
    b = features(arrays[f"c{case}_warped_prob"], arrays[f"c{case}_warped_desc"], size)
    homography, k = arrays[f"c{case}_homography"], int(arrays[f"c{case}_k"])
    expected = arrays[f"c{case}_result_N1_N2_rep_locerr_c1_c3_c5_ms"]
    found = kp2d_measures(a, b, homography, a.image_size, k, seed=0)
    shared_points = [
        len(visible(each, matrix, a.image_size).best(k))
        for each, matrix in ((a, homography), (b, np.linalg.inv(homography)))
    ]
    measured = [found.repeatability, found.localization_px, *found.correct, found.matching_score]
    assert shared_points == expected[:2].tolist()
    assert measured == pytest.approx(expected[2:].tolist(), abs=1e-6)


def test_scaled_homography_as_recorded_but_for_the_pixel_centres() -> None:
    arrays = recorded()
    to_corner = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    ours = np.linalg.inv(to_corner) @ arrays["scale_homography_in"] @ to_corner
    grids = PixelGrid((800, 640), (320, 240)), PixelGrid((1000, 700), (320, 240))
    found = to_corner @ resized_homography(ours, *grids) @ np.linalg.inv(to_corner)
    expected = arrays["scale_homography_out_ref800x640_tgt1000x700_to320x240"]
    np.testing.assert_allclose(found / found[2, 2], expected, rtol=1e-9, atol=1e-12)


def test_images_without_keypoints() -> None:
    nothing = LocalFeatures.empty(8, (160, 120))
    one = features(
        np.array([[50, 60, 0.5]], np.float32), np.eye(1, 8, dtype=np.float32), (160, 120)
    )
    for a, b in ((nothing, nothing), (nothing, one), (one, nothing)):
        found = kp2d_measures(a, b, np.eye(3), (160, 120), 300, seed=0)
        assert found.correct == (0.0, 0.0, 0.0)
        assert found.matching_score == 0.0
        assert found.localization_px is None
        assert found.repeatability == (None if a is b else 0.0)


def test_matching_score_needs_less_than_3_px() -> None:
    descriptors = np.eye(2, 8, dtype=np.float32)
    points = np.array([[50, 60, 0.5], [80, 60, 0.4]], np.float32)
    moved = points + np.array([[3, 0, 0], [2.9, 0, 0]], np.float32)
    a, b = (features(each, descriptors, (160, 120)) for each in (points, moved))
    assert matching_score(a, b, np.eye(3), (160, 120)) == 0.5


def test_mutual_nearest() -> None:
    a = np.array([[0.0], [1.0], [10.0]])
    rows, columns = mutual_nearest_l2(a, np.array([[9.0], [0.4]]))
    assert rows.tolist() == [0, 2]
    assert columns.tolist() == [1, 0]
    assert len(mutual_nearest_l2(a, a[:0])[0]) == 0
