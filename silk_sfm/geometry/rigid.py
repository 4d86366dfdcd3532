"""Rigid alignment of matched points in space: weighted Procrustes, alone and inside RANSAC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silk_sfm.geometry.pose import RotationTranslation
from silk_sfm.shapes import check_shapes

SAMPLE = 3
"""Points that fix a rigid motion."""
CHUNK = 2_000_000
"""Residuals computed at a time: 48 MB of float64 positions."""


@dataclass(frozen=True, eq=False)
class RigidMotion:
    """x_b = rotation @ x_a + translation, (3, 3) and (3,); inliers: (N,) bool of the points."""

    rotation: np.ndarray
    translation: np.ndarray
    inliers: np.ndarray


def weighted_procrustes(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> RotationTranslation:
    """The rigid motion that maps (..., N, 3) points `a` onto `b` with the least squared error.

    weights: (..., N), not negative, their sum above 0. Kabsch, Acta Cryst. 1976; with weights as in
    Choy et al., Deep Global Registration, CVPR 2020, eq. 8. Leading dimensions are a batch.
    """
    shares = (weights / weights.sum(axis=-1, keepdims=True))[..., None]
    centre_a, centre_b = ((points * shares).sum(axis=-2, keepdims=True) for points in (a, b))
    spread = np.swapaxes((b - centre_b) * shares, -1, -2) @ (a - centre_a)  # (..., 3, 3)
    left, _, right = np.linalg.svd(spread)
    signs = np.ones((*spread.shape[:-2], 1, 3))
    signs[..., 0, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))  # never mirror
    rotation = (left * signs) @ right
    translation = centre_b - centre_a @ np.swapaxes(rotation, -1, -2)
    return rotation, translation[..., 0, :]


def ransac_rigid(
    a: np.ndarray,
    b: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    n_samples: int,
    rng: np.random.Generator,
) -> RigidMotion | None:
    """The rigid motion with the most weight of inliers; None with fewer than three of them.

    a, b: (N, 3) matched points; weights: (N,), above 0; samples are drawn in proportion to them
    threshold: largest distance of an inlier, in the unit of the points
    n_samples: how many sets of three matches are tried

    The winner is refitted to its inliers by weighted Procrustes until they stay the same.
    """
    check_shapes(a=(a, "N 3"), b=(b, "N 3"), weights=(weights, "N"))
    if len(a) < SAMPLE:
        return None
    samples = _draw(weights, n_samples, rng)
    rotations, translations = weighted_procrustes(a[samples], b[samples], weights[samples])
    best = _most_inliers(a, b, weights, threshold, rotations, translations)
    return _refit(a, b, weights, threshold, (rotations[best], translations[best]))


def _draw(weights: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_samples, 3) rows, three different ones each, likelier when they weigh more."""
    n = len(weights)
    drawn = rng.choice(n, size=(n_samples, SAMPLE), p=weights / weights.sum())
    while (again := (np.diff(np.sort(drawn, axis=1), axis=1) == 0).any(axis=1)).any():
        # without weights: one match that outweighs all others would be drawn for ever
        drawn[again] = rng.integers(n, size=(int(again.sum()), SAMPLE))
    return np.asarray(drawn)


def _most_inliers(
    a: np.ndarray,
    b: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    rotations: np.ndarray,
    translations: np.ndarray,
) -> int:
    """Row of the (S, 3, 3) rotations and (S, 3) translations whose inliers weigh most."""
    step = max(1, CHUNK // len(a))
    support = [
        (_residuals(a, b, rotations[i : i + step], translations[i : i + step]) <= threshold)
        @ weights
        for i in range(0, len(rotations), step)
    ]
    return int(np.concatenate(support).argmax())


def _residuals(
    a: np.ndarray, b: np.ndarray, rotations: np.ndarray, translations: np.ndarray
) -> np.ndarray:
    """(S, N) distances between the (N, 3) points `a`, moved by S motions, and `b`."""
    moved = a @ np.swapaxes(rotations, -1, -2) + translations[:, None]  # (S, N, 3)
    return np.asarray(np.linalg.norm(moved - b, axis=-1))


def _refit(
    a: np.ndarray,
    b: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    motion: RotationTranslation,
    max_steps: int = 10,
) -> RigidMotion | None:
    """Refit a motion to its inliers until they stay the same; None with fewer than three."""
    before = np.zeros(len(a), bool)
    for _ in range(max_steps):
        inliers = _residuals(a, b, motion[0][None], motion[1][None])[0] <= threshold
        if inliers.sum() < SAMPLE:
            return None
        if np.array_equal(inliers, before):
            break
        before = inliers
        motion = weighted_procrustes(a[inliers], b[inliers], weights[inliers])
    return RigidMotion(*motion, inliers)
