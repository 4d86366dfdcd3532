import numpy as np
import pytest

from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry


def test_select_keeps_rows_together() -> None:
    features = LocalFeatures(
        keypoints=np.array([[1, 2], [3, 4], [5, 6]], np.float32),
        scores=np.array([0.1, 0.2, 0.3], np.float32),
        descriptors=np.eye(3, dtype=np.float32),
        image_size=(10, 20),
        uncertainty=0.5,
    )
    chosen = features.select(np.array([2, 0]))
    assert chosen.keypoints.tolist() == [[5, 6], [1, 2]]
    assert chosen.descriptors.argmax(axis=1).tolist() == [2, 0]
    assert (chosen.image_size, chosen.uncertainty) == ((10, 20), 0.5)


def test_empty_features_and_matches() -> None:
    assert len(LocalFeatures.empty(64, (5, 5))) == 0
    assert LocalFeatures.empty(64, (5, 5)).descriptors.shape == (0, 64)
    assert len(Matches.empty()) == 0


def test_keypoints_must_be_float32() -> None:
    with pytest.raises(TypeError, match="keypoints has dtype float16, expected float32"):
        LocalFeatures(
            np.zeros((1, 2), np.float16), np.zeros(1, np.float32), np.zeros((1, 4)), (5, 5)
        )


def test_matches_must_be_int32() -> None:
    with pytest.raises(TypeError, match="indices has dtype int64, expected int32"):
        Matches(np.zeros((1, 2), np.int64), np.zeros(1, np.float32))


def test_matrix_is_3_by_3() -> None:
    with pytest.raises(ValueError, match=r"matrix has shape \(2, 3\)"):
        TwoViewGeometry("homography", np.zeros((2, 3)), Matches.empty(), 1.0, 0)
