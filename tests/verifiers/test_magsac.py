from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import pytest
from two_view_scene import FOCAL, SIZE, TwoViewScene, two_view_scene

from silk_sfm import plugins
from silk_sfm.errors import ConfigError
from silk_sfm.features import Matches, TwoViewGeometry
from silk_sfm.geometry.epipolar import sampson_error
from silk_sfm.geometry.homography import corner_error
from silk_sfm.plugins import Correspondences
from silk_sfm.verifiers.magsac import Magsac, MagsacOptions

Model = Literal["essential", "fundamental", "homography"]
MODELS: tuple[Model, ...] = ("essential", "fundamental", "homography")


def verify(scene: TwoViewScene, model: Model, seed: int = 0) -> TwoViewGeometry:
    threshold = 2.5 if model == "homography" else 1.5  # 3 standard deviations of the error
    verifier = Magsac(MagsacOptions(threshold_px=threshold, model=model))
    return verifier(scene.correspondences(model == "essential"), scene.matches(), seed)


def recall_and_precision(scene: TwoViewScene, geometry: TwoViewGeometry) -> tuple[float, float]:
    kept = scene.is_true[geometry.inliers.indices[:, 0]]
    return kept.sum() / scene.is_true.sum(), kept.mean()


def same(one: TwoViewGeometry, other: TwoViewGeometry) -> bool:
    matrices = np.array_equal(one.matrix, other.matrix)
    return matrices and np.array_equal(one.inliers.indices, other.inliers.indices)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("outliers", [0.0, 0.3, 0.5, 0.7])
def test_finds_the_true_matches(model: Model, outliers: float) -> None:
    scene = two_view_scene(outliers=outliers, is_planar=model == "homography")
    geometry = verify(scene, model)
    recall, precision = recall_and_precision(scene, geometry)
    assert geometry.kind == model
    assert geometry.n_tentative == 400
    assert recall > 0.97
    assert precision > 0.96


def test_good_scores_help_with_80_percent_outliers() -> None:
    scene = two_view_scene(outliers=0.8)
    scores = np.random.default_rng(0).normal(size=400) + scene.is_true
    matches = dataclasses.replace(scene.matches(), scores=scores.astype(np.float32))
    options = MagsacOptions(threshold_px=1.0)
    geometry = Magsac(options)(scene.correspondences(False), matches, seed=0)
    recall, precision = recall_and_precision(scene, geometry)
    assert recall > 0.9
    assert precision > 0.9


@pytest.mark.parametrize("model", ["essential", "fundamental"])
def test_the_matrix_is_close_to_the_truth(model: Model) -> None:
    exact = two_view_scene(outliers=0, noise_px=0)
    matrix = verify(two_view_scene(outliers=0.5), model).matrix
    points = exact.correspondences(with_rays=model == "essential")
    if model == "essential":
        assert points.rays_a is not None
        assert points.rays_b is not None
        error = FOCAL * sampson_error(matrix, points.rays_a, points.rays_b)
    else:
        error = sampson_error(matrix, points.pixels_a, points.pixels_b)
    assert np.median(error) < 0.2


def test_the_homography_is_close_to_the_truth() -> None:
    scene = two_view_scene(is_planar=True)
    assert corner_error(verify(scene, "homography").matrix, scene.homography, SIZE) < 1.0


@pytest.mark.parametrize("model", MODELS)
def test_inliers_are_the_matches_within_the_threshold(model: Model) -> None:
    scene = two_view_scene(is_planar=model == "homography")
    geometry = verify(scene, model)
    assert (np.diff(geometry.inliers.indices[:, 0]) > 0).all(), "in the order of the matches"
    if model == "fundamental":
        errors = sampson_error(geometry.matrix, scene.pixels_a, scene.pixels_b)
        within = np.flatnonzero(errors <= geometry.threshold_px)
        np.testing.assert_array_equal(geometry.inliers.indices[:, 0], within)


def test_auto_takes_the_essential_matrix_when_there_are_rays() -> None:
    scene = two_view_scene()
    magsac = Magsac(MagsacOptions())
    assert magsac(scene.correspondences(True), scene.matches(), 0).kind == "essential"
    assert magsac(scene.correspondences(False), scene.matches(), 0).kind == "fundamental"


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_result_in_any_number_of_threads(model: Model) -> None:
    scenes = [two_view_scene(outliers=0.6, seed=seed) for seed in range(8)] * 2
    alone = [verify(scene, model, seed=5) for scene in scenes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda scene: verify(scene, model, seed=5), scenes))
    assert all(map(same, alone, together))
    assert all(map(same, alone[:8], alone[8:]))


def test_another_seed_and_large_seeds() -> None:
    scene = two_view_scene(outliers=0.7)
    results = [verify(scene, "essential", seed) for seed in (0, 1, 2**31 - 1, 2**64 + 1)]
    assert all(recall_and_precision(scene, result)[0] > 0.9 for result in results)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_points", [0, 1, 4, 5, 7, 8, 14])
def test_too_few_matches_give_no_inliers(model: Model, n_points: int) -> None:
    scene = two_view_scene(n_points=n_points, outliers=0)
    geometry = verify(scene, model)
    assert len(geometry.inliers) == 0
    assert not geometry.matrix.any()
    assert geometry.n_tentative == n_points


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_points", [4, 5, 6, 7, 8, 9])
def test_a_minimum_of_one_inlier_does_not_crash(model: Model, n_points: int) -> None:
    scene = two_view_scene(n_points=n_points, outliers=0)
    options = MagsacOptions(min_inliers=1, model=model)
    Magsac(options)(scene.correspondences(model == "essential"), scene.matches(), 0)


def test_nothing_but_outliers_give_no_inliers() -> None:
    scene = two_view_scene(n_points=100, outliers=1.0)
    assert len(verify(scene, "fundamental").inliers) == 0


LINE = np.column_stack([np.arange(60.0), 2 * np.arange(60.0)])
SPREAD = np.random.default_rng(0).uniform(0, 900, (60, 2))
DEGENERATE = {
    "identical": (np.full((60, 2), 5.0), np.full((60, 2), 7.0)),
    "collinear": (LINE, LINE + 3),
    "no motion": (SPREAD, SPREAD),
    "shift": (SPREAD, SPREAD + 10),
    "duplicates": (np.repeat(SPREAD[:3], 20, axis=0), np.repeat(SPREAD[3:6], 20, axis=0)),
    "one point": (np.ones((60, 2)), SPREAD),
    "not finite": (np.where(SPREAD > 600, np.nan, SPREAD), np.where(SPREAD > 800, np.inf, SPREAD)),
    "huge": (SPREAD * 1e9, SPREAD[::-1] * 1e9),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", list(DEGENERATE))
def test_degenerate_points_do_not_crash(model: Model, name: str) -> None:
    a, b = DEGENERATE[name]
    points = Correspondences(a, b, a / FOCAL, b / FOCAL, FOCAL)
    rows = np.arange(60, dtype=np.int32)
    matches = Matches(np.stack([rows, rows], axis=1), np.ones(60, np.float32))
    geometry = Magsac(MagsacOptions(model=model))(points, matches, seed=0)
    assert np.isfinite(geometry.matrix).all()
    finite = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    assert finite[geometry.inliers.indices[:, 0]].all()


def test_essential_without_intrinsics_is_an_error() -> None:
    scene = two_view_scene()
    with pytest.raises(ConfigError, match="needs the intrinsics of both cameras"):
        Magsac(MagsacOptions(model="essential"))(scene.correspondences(False), scene.matches(), 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threshold_px": 0.0}, r"threshold_px must be above 0, got 0\.0\."),
        ({"confidence": 1.0}, r"confidence must lie in \(0, 1\), got 1\.0\."),
        ({"max_iterations": 0}, r"max_iterations must be 1 or more, got 0\."),
        ({"min_inliers": 0}, r"min_inliers must be 1 or more, got 0\."),
    ],
)
def test_options_are_checked(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MagsacOptions(**changed)  # type: ignore[arg-type]


def test_is_found_as_a_plugin() -> None:
    assert plugins.load("verifiers", "magsac") is Magsac
    assert isinstance(Magsac(MagsacOptions()), plugins.Verifier)
