"""Tuning on small photos: what is tried, what is extracted, what is ranked, what is written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from in_process import silk_sfm
from shared_data import shared
from small_photos import write_small_photos
from two_view_scene import two_view_scene

from silk_sfm.errors import ConfigError, DatasetError, ImageError
from silk_sfm.evaluation.two_view_scores import (
    geometry_errors_px,
    pose_error_degrees,
    typical_count,
)
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.plugins import About
from silk_sfm.stages.choice import Chosen, choose
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.recipe_file import recipe_text, write_recipe
from silk_sfm.stages.tune import Tuner, spread
from silk_sfm.stages.tune_choices import (
    Choice,
    TuneOptions,
    grid,
    matcher_choices,
    useful_sizes,
    verifier_choices,
)
from silk_sfm.stages.tune_results import write_tuned

HERE = "test_tune_stage"
OPTIONS = TuneOptions(
    max_sizes=(160, 100),
    top_k=(60, 300),
    matcher_thresholds=(0.8, 0.9),
    verifier_thresholds_px=(0.5, 2.0),
    n_pairs=3,
)


@dataclass(frozen=True)
class CornerOptions:
    """top_k: keypoints kept."""

    top_k: int = 100


class Corners:
    """Corners with a patch as descriptor; remembers the images that it saw."""

    about: ClassVar[About] = About(summary="corners for a test", licence="none")
    channels: ClassVar[str] = "grey"
    Options = CornerOptions
    descriptor_size = 81
    weights_digest = ""
    seen: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, options: CornerOptions, device: str) -> None:
        self.options = options

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        self.seen.append((image.shape[0], self.options.top_k))
        found = cv2.goodFeaturesToTrack(image, self.options.top_k, 0.001, 2)
        points = found[:, 0]
        rows = [cv2.getRectSubPix(image, (9, 9), tuple(map(float, xy))).ravel() for xy in points]
        patches = np.array(rows, np.float32)
        patches -= patches.mean(axis=1, keepdims=True)
        patches /= np.linalg.norm(patches, axis=1, keepdims=True)
        scores = np.linspace(1, 0, len(points), dtype=np.float32)
        return LocalFeatures(points, scores, patches, (image.shape[1], image.shape[0]))


def recipe() -> Recipe:
    matcher = choose("matchers", "mutual")
    return replace(
        Recipe.read("silk"),
        extractor=Chosen(f"{HERE}:Corners", CornerOptions()),
        matcher=replace(matcher, options=replace(matcher.options, ratio=0.9)),
    )


def tuner(tmp_path: Path, **more: Any) -> Tuner:
    photos = tmp_path / "photos"
    if not photos.exists():
        write_small_photos(photos, 5)
    images = ImageFolder.open(photos)
    pairs = PairList.sequential(images.names, 1)
    options = replace(OPTIONS, max_sizes=more.pop("sizes", OPTIONS.max_sizes))
    return Tuner(images, pairs, tmp_path / "out", recipe(), options, device="cpu", **more)


# ---------- what is tried ----------


def test_the_grid_and_the_groups_after_it() -> None:
    found = grid(recipe(), OPTIONS)
    assert [(each.max_size, each.top_k) for each in found] == [
        (100, 60),
        (100, 300),
        (160, 60),
        (160, 300),
    ]
    best = found[2]
    assert [each.matcher_threshold for each in matcher_choices(best, recipe(), OPTIONS)] == [0.8]
    ransac = [each.verifier_threshold_px for each in verifier_choices(best, recipe(), OPTIONS)]
    assert ransac == [0.5, 2.0]


def test_matchers_have_a_range_of_their_own() -> None:
    softmax = replace(recipe(), matcher=choose("matchers", "double-softmax"))
    options = replace(OPTIONS, matcher_thresholds=())
    best = grid(softmax, options)[0]
    values = [each.matcher_threshold for each in matcher_choices(best, softmax, options)]
    assert values == [0.05, 0.1, 0.2, 0.5, 0.7]
    assert best.recipe(softmax).matcher.options.threshold == 0.3


def test_weights_are_tried_where_the_extractor_has_some() -> None:
    silk = Recipe.read("silk")
    found = grid(silk, replace(OPTIONS, weights=("silk", "pvgg-4"), max_sizes=(480,)))
    assert [(each.view, each.top_k) for each in found] == [
        ("silk_480px", 60),
        ("silk_480px", 300),
        ("pvgg-4_480px", 60),
        ("pvgg-4_480px", 300),
    ]
    assert found[2].recipe(silk).extractor.options.weights == "pvgg-4"
    with pytest.raises(ConfigError, match="has no option `weights` to try pvgg-4 with"):
        grid(recipe(), replace(OPTIONS, weights=("pvgg-4",)))


@pytest.mark.parametrize(
    "wrong", [{"max_sizes": ()}, {"top_k": (0,)}, {"n_pairs": 0}, {"count_px": 0.0}]
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        replace(OPTIONS, **wrong)


def test_sizes_beyond_the_photos_are_tried_once(tmp_path: Path) -> None:
    assert useful_sizes((1600, 480, 720, 1024, 480), 700) == (480, 720)
    assert useful_sizes((480, 720, 1024), 720) == (480, 720)
    assert useful_sizes((480, 720, 1024), 721) == (480, 720, 1024)
    assert useful_sizes((480,), 100) == (480,)
    assert tuner(tmp_path, sizes=(100, 200, 400)).options.max_sizes == (100, 200)


def test_the_sample_is_spread_over_all_pairs() -> None:
    pairs = [(str(i), str(i + 1)) for i in range(10)]
    assert spread(pairs, 4) == [pairs[0], pairs[3], pairs[6], pairs[9]]
    assert spread(pairs, 20) == pairs
    assert spread(pairs, 1) == pairs[:1]


# ---------- running ----------


def test_every_image_is_looked_at_once_for_each_size(tmp_path: Path) -> None:
    Corners.seen.clear()
    job = tuner(tmp_path)
    assert job.estimate_seconds() > 0
    best = job.run()
    assert sorted(Corners.seen) == sorted([(75, 300), (120, 300)] * len(job.sample.names))
    assert [len(group) for group in job.groups] == [4, 2, 3]
    assert len(job.tried) == 7
    assert best.score == max(each.inliers for each in job.tried)
    assert best.choice.top_k == 300
    assert best.inliers > 50
    text, written = write_tuned(job)
    found = f"{best.choice}, RANSAC {best.choice.verifier_threshold_px:g} px"
    assert text.endswith(f"best: {found} -> {tmp_path / 'out' / 'tuned.toml'}")
    assert {path.name for path in written} == {
        "tuned.toml",
        "tuned.png",
        "results.csv",
        "results.json",
        "results.md",
    }
    assert all(path.stat().st_size > 100 for path in written)
    read = Recipe.read(str(tmp_path / "out" / "tuned.toml"))
    assert read == best.choice.recipe(recipe())
    Corners.seen.clear()  # a second run goes on from the stores
    again = tuner(tmp_path)
    assert again.estimate_seconds() < 60
    assert again.run() == best
    assert Corners.seen == []


def test_an_estimate_counts_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(work: Callable[[], object]) -> float:
        work()
        return 1.0

    monkeypatch.setattr("silk_sfm.stages.tune.seconds_of", second)
    # each size: images after the first one, pairs at 300 keypoints and at a fifth of them;
    # then 1 + 2 other thresholds on 3 pairs
    sizes, images, pairs, more = 2, len(tuner(tmp_path).sample.names), 3 * (1 + 0.2**2), 3 * 3
    all_of_it = pytest.approx(sizes * (images - 1 + pairs) + more)
    assert tuner(tmp_path).estimate_seconds() == all_of_it
    again = tuner(tmp_path)  # of each size the two images of the first pair are there
    assert again.estimate_seconds() == pytest.approx(sizes * (images - 3 + pairs) + more)
    again.run()
    assert tuner(tmp_path).estimate_seconds() == more
    assert tuner(tmp_path, overwrite=True).estimate_seconds() == all_of_it


def test_weights_of_one_name_stay_apart() -> None:
    views = {
        Choice(480, None, weights, None, None).view
        for weights in (None, "best", "one/best.safetensors", "two/best.safetensors", "v1.5", "v1")
    }
    assert len(views) == 6
    assert all(Path(view).name == view for view in views)


def test_fewer_keypoints_are_the_best_of_the_many(tmp_path: Path) -> None:
    job = tuner(tmp_path)
    job.run()
    few, many = (
        next(each for each in job.groups[0] if each.choice.top_k == number) for number in (60, 300)
    )
    assert few.keypoints == 60
    assert 60 < many.keypoints <= 300
    assert few.inliers < many.inliers


def test_values_that_a_plugin_refuses_are_named_before_any_work(tmp_path: Path) -> None:
    tuner(tmp_path)
    images = ImageFolder.open(tmp_path / "photos")
    options = replace(OPTIONS, matcher_thresholds=(0.8, 2.0))
    pairs = PairList.sequential(images.names, 1)
    with pytest.raises(ConfigError, match=r"^ratio must lie in \(0, 1\], got 2\.0\.$"):
        Tuner(images, pairs, tmp_path / "new", recipe(), options, device="cpu")
    assert not (tmp_path / "new").exists()


def test_other_scales_than_1_are_not_tuned(tmp_path: Path) -> None:
    tuner(tmp_path)
    images = ImageFolder.open(tmp_path / "photos")
    base = replace(recipe(), extraction=replace(recipe().extraction, scales=(1.0, 0.5)))
    pairs = PairList.sequential(images.names, 1)
    with pytest.raises(ConfigError, match=r"tuned at scale 1. Leave out --scales"):
        Tuner(images, pairs, tmp_path / "new", base, OPTIONS, device="cpu")


def test_a_damaged_photo_is_named(tmp_path: Path) -> None:
    job = tuner(tmp_path)
    name = job.sample.names[1]
    (tmp_path / "photos" / name).write_bytes(b"no image")
    with pytest.raises(ImageError, match=f"^{name} cannot be used for tuning: "):
        job.run()


@pytest.mark.slow
def test_ground_truth_ranks_by_auc(tmp_path: Path) -> None:
    photos, truth = shared("data", "tiny", "images"), shared("data", "tiny", "gt_sparse")
    options = replace(
        OPTIONS, max_sizes=(200, 768), top_k=(2000,), verifier_thresholds_px=(1.0,), n_pairs=3
    )
    images = ImageFolder.open(photos)
    pairs = PairList.sequential(images.names, 1)
    job = Tuner(images, pairs, tmp_path, Recipe.read("sift"), options, truth, device="cpu")
    best = job.run()
    assert job.score_name == "AUC@5"
    assert best.choice.max_size == 768
    assert best.score == best.auc > 85
    (small,) = [each for each in job.groups[0] if each.choice.max_size == 200]
    assert small.auc < best.auc


def test_ground_truth_of_other_photos(tmp_path: Path) -> None:
    truth = shared("data", "tiny", "gt_sparse")
    with pytest.raises(
        DatasetError, match="^No pair of images has a pose in .*gt_sparse: it knows"
    ):
        tuner(tmp_path, truth=truth)


def test_command(tmp_path: Path) -> None:
    write_small_photos(tmp_path / "photos", 4)
    out = tmp_path / "out"
    words = ["tune", tmp_path / "photos", "--out", out, "--config", "sift", "--device", "cpu"]
    words += ["--max-sizes", 160, "--top-k", 200, "--n-pairs", 2, "--verifier-thresholds-px", 1]
    estimate = silk_sfm(*words, "--estimate-only")
    assert (estimate.status, estimate.err) == (0, "")
    assert estimate.out.startswith("tune: 2 pairs of ")
    assert not (out / "tuned.toml").exists()
    done = silk_sfm(*words)
    assert (done.status, done.err) == (0, "")
    first, rest = done.out.split("\n", 1)
    assert first.startswith("tune: 2 pairs of ")
    assert first.endswith(" minutes")
    assert "best inliers first" in rest
    assert Recipe.read(str(out / "tuned.toml")).extractor.name == "sift"


# ---------- scores ----------


def test_scores_of_a_known_pair() -> None:
    scene = two_view_scene(outliers=0.4, noise_px=0.2)
    points = scene.correspondences(with_rays=True)
    rotation_truth = _pose(scene.essential, points.rays_a, points.rays_b, scene.is_true)
    for kind, matrix in (("essential", scene.essential), ("fundamental", scene.fundamental)):
        geometry = TwoViewGeometry(kind, matrix, scene.matches(), 1.0, 400)  # type: ignore[arg-type]
        errors = geometry_errors_px(geometry, points)
        assert np.median(errors[scene.is_true]) < 0.4
        assert np.median(errors[~scene.is_true]) > 20
        degrees = pose_error_degrees(geometry, points, errors < 1, rotation_truth)
        assert degrees < 1e-3 if kind == "essential" else degrees == np.inf
    none = TwoViewGeometry("essential", np.zeros((3, 3)), Matches.empty(), 1.0, 400)
    assert np.isinf(geometry_errors_px(none, points)).all()
    few = np.arange(400) < 3
    assert pose_error_degrees(none, points, few, rotation_truth) == np.inf


def _pose(essential: np.ndarray, a: Any, b: Any, chosen: np.ndarray) -> Any:
    _, rotation, translation, *_ = cv2.recoverPose(
        essential, a[chosen], b[chosen], np.eye(3), distanceThresh=1e9
    )
    return rotation, translation[:, 0]


def test_homography_errors() -> None:
    scene = two_view_scene(outliers=0.0, noise_px=0.0, is_planar=True)
    points = scene.correspondences(with_rays=False)
    geometry = TwoViewGeometry("homography", scene.homography, scene.matches(), 1.0, 400)
    assert geometry_errors_px(geometry, points).max() < 1e-6


def test_typical_count() -> None:
    assert typical_count(np.array([])) == 0
    assert typical_count(np.array([0.0, 99.0])) == pytest.approx(9.0)


# ---------- recipes as files ----------


@pytest.mark.parametrize(
    "name", ["silk", "silk_micro", "silk_wide", "silk_paper", "imc2022", "sift", "silk_hpatches"]
)
def test_recipes_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    made = Recipe.read(name)
    write_recipe(made, tmp_path / "copy.toml", "made by a test,\nin two lines")
    assert (tmp_path / "copy.toml").read_text().startswith("# made by a test,\n# in two lines\n")
    assert Recipe.read(str(tmp_path / "copy.toml")) == made


def test_odd_values_of_a_recipe() -> None:
    odd = replace(recipe(), extraction=replace(recipe().extraction, masks=Path('a "b" ü')))
    assert 'masks = "a \\"b\\" ü"' in recipe_text(odd, "")
    assert Choice(480, 10, "w/a.safetensors", 0.3, None).view == "w_a.safetensors_480px"
    assert str(Choice(480, None, None, None, None)) == "480 px"
