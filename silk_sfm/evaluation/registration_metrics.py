"""Errors of a rigid registration of two depth maps, as in SiLK's table 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from silk_sfm.geometry.pose import RotationTranslation, rotation_angle

ROTATION_DEG = (5, 10, 45)
TRANSLATION_CM = (5, 10, 25)
CHAMFER = (1, 5, 10)
KDTREE_SINGLE = 4
"""FLANN's exact tree for few dimensions."""
EXACT = -1


@dataclass(frozen=True)
class RegistrationError:
    """Of one pair.

    rotation: degrees; translation: centimetres
    chamfer: 1000 x square metres as unsupervisedR&R computes it, which papers print as centimetres
    chamfer_cm: the same distance without the square, in centimetres
    """

    rotation: float
    translation: float
    chamfer: float
    chamfer_cm: float


def registration_error(
    found: RotationTranslation, true: RotationTranslation, cloud_a: np.ndarray, cloud_b: np.ndarray
) -> RegistrationError:
    """Errors of a motion that maps camera a to camera b, with (P, 3) clouds in metres of each."""
    squares = chamfer_squares(found, true, cloud_a, cloud_b)
    return RegistrationError(
        rotation_angle(found[0], true[0]),
        100 * float(np.linalg.norm(found[1] - true[1])),
        1000 * float(sum(each.mean() for each in squares)),
        100 * float(np.mean([np.sqrt(each).mean() for each in squares])),
    )


def chamfer_squares(
    found: RotationTranslation, true: RotationTranslation, cloud_a: np.ndarray, cloud_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances from the cloud joined by `found` to the one joined by `true`, and back.

    Both joined clouds hold cloud a as it is and cloud b moved to camera a, so that the points of a
    have no distance (El Banani, Gao, Johnson, UnsupervisedR&R, CVPR 2021, sec. 4).
    """
    moved, right = _to_a(found, cloud_b), _to_a(true, cloud_b)
    none = np.zeros(len(cloud_a))
    there = nearest_squares(moved, np.concatenate([cloud_a, right]))
    back = nearest_squares(right, np.concatenate([cloud_a, moved]))
    return np.concatenate([none, there]), np.concatenate([none, back])


def nearest_squares(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P,) squared distance of each (P, 3) point to the nearest one of `others`, exact.

    Computed in float32 around the middle of the points.
    """
    if len(points) == 0:
        return np.zeros(0)
    middle = others.mean(axis=0)
    tree = cv2.flann.Index((others - middle).astype(np.float32), {"algorithm": KDTREE_SINGLE})
    centred = (points - middle).astype(np.float32)
    _, squares = tree.knnSearch(centred, 1, params={"checks": EXACT})
    return np.asarray(squares[:, 0], np.float64)


def registration_metrics(errors: Sequence[RegistrationError]) -> dict[str, float]:
    """Shares in percent at or below each threshold, then mean and median, in the table's order.

    Rot in degrees, Trans and Distance in centimetres, Chamfer as unsupervisedR&R has it.
    """
    columns = {
        "Rot": (ROTATION_DEG, [error.rotation for error in errors]),
        "Trans": (TRANSLATION_CM, [error.translation for error in errors]),
        "Chamfer": (CHAMFER, [error.chamfer for error in errors]),
        "Distance": (CHAMFER, [error.chamfer_cm for error in errors]),
    }
    metrics: dict[str, float] = {}
    for name, (thresholds, values) in columns.items():
        array = np.array(values)
        metrics |= {f"{name}@{t}": 100 * float((array <= t).mean()) for t in thresholds}
        metrics[f"{name} mean"] = float(array.mean())
        metrics[f"{name} median"] = float(np.median(array))
    return metrics


def _to_a(motion: RotationTranslation, points_b: np.ndarray) -> np.ndarray:
    """(P, 3) points of camera b -> camera a; the motion maps a to b."""
    return np.asarray((points_b - motion[1]) @ motion[0])
