from __future__ import annotations

import cv2
import numpy as np
import pytest
from shared_data import shared

from silk_sfm.evaluation.imc_metrics import (
    accuracies_2020,
    accuracies_2022,
    fundamental_errors,
    poses_of_fundamental,
)
from silk_sfm.evaluation.pose_metrics import relative_pose_error
from silk_sfm.geometry.epipolar import essential_from_pose, fundamental_from_essential
from silk_sfm.geometry.pose import relative_pose

CAMERA = np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])


@pytest.mark.parametrize("scene", ["scene_a", "scene_b"])
def test_maa_of_2022_is_as_recorded(scene: str) -> None:
    recorded = np.load(shared("reference_others", "imb", "maa_imc2022.npz"))
    cameras, rotations, translations = (recorded[f"{scene}_{key}"] for key in "KRT")
    errors = []
    for (a, b), fundamental in zip(recorded[f"{scene}_pairs"], recorded[f"{scene}_F"], strict=True):
        true = relative_pose((rotations[a], translations[a]), (rotations[b], translations[b]))
        scale = float(recorded[f"{scene}_scale"])
        errors.append(fundamental_errors(fundamental, cameras[a], cameras[b], true, scale))
    degrees, metres = np.array(errors).T
    np.testing.assert_allclose(degrees, recorded[f"{scene}_err_q_deg"], atol=1e-5)
    np.testing.assert_allclose(metres, recorded[f"{scene}_err_t_m"], atol=1e-9)
    accuracies = accuracies_2022(degrees, metres)
    np.testing.assert_allclose(accuracies, recorded[f"{scene}_acc"], atol=1e-12)
    assert accuracies.mean() == pytest.approx(float(recorded[f"{scene}_mAA"]))


def test_maa_of_2020_is_as_recorded() -> None:
    recorded = np.load(shared("reference_others", "imb", "maa_imc2020_pairs.npz"))
    failed = set(recorded["failed_pairs"].tolist())
    found = zip(recorded["R"], recorded["t"], strict=True)
    true = zip(recorded["R_gt"], recorded["t_gt"], strict=True)
    errors = [
        relative_pose_error(None if i in failed else pose, right)
        for i, (pose, right) in enumerate(zip(found, true, strict=True))
    ]
    largest = np.array([error.largest for error in errors])
    np.testing.assert_allclose(largest, recorded["err_max_deg"], atol=1e-5)
    accuracies = accuracies_2020(largest)
    np.testing.assert_allclose(accuracies, recorded["acc_at_1_to_10_deg"], atol=1e-12)
    assert accuracies.mean() == pytest.approx(float(recorded["mAA_10deg"]))
    assert accuracies[:5].mean() == pytest.approx(float(recorded["mAA_5deg"]))


def test_the_true_fundamental_matrix_has_no_error() -> None:
    rotation, translation = cv2.Rodrigues(np.array([0.1, -0.4, 0.2]))[0], np.array([2.0, 0.3, -1])
    essential = essential_from_pose(rotation, translation)
    fundamental = fundamental_from_essential(essential, CAMERA, CAMERA)
    for factor in (1.0, -1.0, 1e-6):
        errors = fundamental_errors(
            factor * fundamental, CAMERA, CAMERA, (rotation, translation), 3
        )
        np.testing.assert_allclose(errors, 0, atol=1e-6)


def test_rotations_of_any_matrix_are_rotations() -> None:
    rotations, direction = poses_of_fundamental(
        np.random.default_rng(0).normal(size=(3, 3)), CAMERA, CAMERA
    )
    for rotation in rotations:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.linalg.norm(direction) == pytest.approx(1)


def test_known_answers_at_the_thresholds() -> None:
    """Both thresholds are strict in 2022; in 2020 the last one counts."""
    degrees, metres = np.array([0.5, 1.0, 0.5]), np.array([0.1, 0.1, 0.2])
    assert accuracies_2022(degrees, metres)[0] == pytest.approx(1 / 3)
    assert accuracies_2022(degrees, metres)[1:].tolist() == [1.0] * 9
    shares = accuracies_2020(np.array([1.0, 10.0, np.inf]))
    np.testing.assert_allclose(shares, [0] + [1 / 3] * 8 + [2 / 3])


def test_no_pairs() -> None:
    assert accuracies_2022(np.zeros(0), np.zeros(0)).tolist() == [0.0] * 10
    assert accuracies_2020(np.zeros(0)).tolist() == [0.0] * 10
