"""Mean average accuracy (mAA) as the Image Matching Challenges of 2020 and 2022 score it."""

from __future__ import annotations

import numpy as np

from silk_sfm.geometry.pose import RotationTranslation, rotation_angle

ANGLES_DEG = np.linspace(1, 10, 10)
LENGTHS_M = np.geomspace(0.2, 5, 10)
QUARTER_TURN = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def poses_of_fundamental(
    fundamental: np.ndarray, camera_a: np.ndarray, camera_b: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The two (3, 3) rotations and the (3,) unit translation, sign open, of a fundamental matrix.

    Hartley and Zisserman, result 9.19, of E = K_b^T F K_a.
    """
    left, _, right = np.linalg.svd(camera_b.T @ fundamental @ camera_a)
    left, right = left * np.sign(np.linalg.det(left)), right * np.sign(np.linalg.det(right))
    return (left @ QUARTER_TURN @ right, left @ QUARTER_TURN.T @ right), left[:, 2]


def fundamental_errors(
    fundamental: np.ndarray,
    camera_a: np.ndarray,
    camera_b: np.ndarray,
    true: RotationTranslation,
    metres_per_unit: float,
) -> tuple[float, float]:
    """Degrees and metres that the pose behind a fundamental matrix is off, as Kaggle 2022 scores.

    true: relative pose x_b = R x_a + t in the units of its scene

    The better one of both rotations counts. The translation gets the true length, and the better
    one of its signs.
    """
    rotations, direction = poses_of_fundamental(fundamental, camera_a, camera_b)
    right = true[1] * metres_per_unit
    found = direction * np.linalg.norm(right)
    metres = min(np.linalg.norm(right - found), np.linalg.norm(right + found))
    return min(rotation_angle(rotation, true[0]) for rotation in rotations), float(metres)


def accuracies_2022(degrees: np.ndarray, metres: np.ndarray) -> np.ndarray:
    """(10,) shares of (P,) pairs below both thresholds, which grow together from 1 degree and 0.2 m
    to 10 degrees and 5 m; their mean is the mAA of a scene. 0 without pairs.
    """
    if len(degrees) == 0:
        return np.zeros(len(ANGLES_DEG))
    accurate = (degrees[:, None] < ANGLES_DEG) & (metres[:, None] < LENGTHS_M)
    return np.asarray(accurate.mean(axis=0))


def accuracies_2020(degrees: np.ndarray) -> np.ndarray:
    """(10,) shares of (P,) pairs whose larger error of rotation and translation direction lies
    below 1, 2, ... 10 degrees; the last one counts 10 itself too. Failed pairs: infinite.

    The mean of all is mAA(10), of the first five mAA(5). 0 without pairs.
    """
    if len(degrees) == 0:
        return np.zeros(len(ANGLES_DEG))
    below = degrees[:, None] < ANGLES_DEG
    below[:, -1] |= degrees == ANGLES_DEG[-1]
    return np.asarray(below.mean(axis=0))
