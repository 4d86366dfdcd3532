"""A model against the true cameras of its photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from silk_sfm.colmap.model import Model, ModelSummary, summarise
from silk_sfm.geometry.pose import (
    PairErrors,
    RotationTranslation,
    align_similarity,
    area_under_curve,
    pair_errors,
)

AUC_DEGREES = (0.5, 1.0, 3.0, 5.0, 10.0)
NOTHING = ModelSummary(0, 0, 0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """What a model is worth.

    n_true: images of the truth; n_registered: those of them that the model has
    errors: of the relative poses of all pairs of true images
    position_errors: (n_registered,) distances of the camera centres, in units of the truth, after
        the least-squares similarity of all of them; empty when the model leaves it open (fewer than
        three cameras, or all on a line)
    extent: largest distance between two true centres
    numbers: points, track length, reprojection error
    """

    n_true: int
    n_registered: int
    errors: PairErrors
    position_errors: np.ndarray
    extent: float
    numbers: ModelSummary

    def auc(self, degrees: tuple[float, ...] = AUC_DEGREES) -> list[float]:
        """Area under the curve of pose errors up to each threshold, in percent."""
        return [100 * area for area in area_under_curve(self.errors.largest, degrees)]

    def metrics(self) -> dict[str, float]:
        """By name, as tables show them."""
        positions = self.position_errors
        median = float(np.median(positions)) if len(positions) else np.nan
        return {
            "registered": float(self.n_registered),
            "images": float(self.n_true),
            **{
                f"AUC@{degrees:g}": area
                for degrees, area in zip(AUC_DEGREES, self.auc(), strict=True)
            },
            "position": median,
            "position %": 100 * median / self.extent if self.extent > 0 else np.nan,
            "points": float(self.numbers.n_points),
            "track length": self.numbers.track_length,
            "reprojection px": self.numbers.reprojection_error,
        }


def compare_models(found: Model | None, truth: Model) -> ModelComparison:
    """Compare a model, or the lack of one, with the true cameras; images are found by name.

    Images of the model that the truth does not name are passed over.
    """
    true_poses = _poses(truth)
    poses = {name: pose for name, pose in _poses(found).items() if name in true_poses}
    centres = np.array([truth.poses[name].centre for name in truth.names])
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)
    return ModelComparison(
        n_true=len(true_poses),
        n_registered=len(poses),
        errors=pair_errors(poses, true_poses),
        position_errors=position_errors(poses, true_poses),
        extent=float(distances.max()),
        numbers=summarise(found) if found else NOTHING,
    )


def position_errors(
    found: Mapping[str, RotationTranslation], true: Mapping[str, RotationTranslation]
) -> np.ndarray:
    """(N,) distances of the camera centres that both have, after their similarity alignment.

    Empty when there is no single similarity.
    """
    names = [name for name in found if name in true]
    centres, true_centres = (
        np.array([_centre(poses[name]) for name in names]).reshape(-1, 3) for poses in (found, true)
    )
    try:
        aligned = align_similarity(centres, true_centres).apply(centres)
    except ValueError:  # fewer than three centres, or all on a line
        return np.zeros(0)
    return np.asarray(np.linalg.norm(aligned - true_centres, axis=1))


def _poses(model: Model | None) -> dict[str, RotationTranslation]:
    if model is None:
        return {}
    return {name: (pose.rotation, pose.translation) for name, pose in model.poses.items()}


def _centre(pose: RotationTranslation) -> np.ndarray:
    return np.asarray(-pose[0].T @ pose[1])
